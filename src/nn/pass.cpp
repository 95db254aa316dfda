#include "nn/pass.h"

#include <algorithm>

namespace tenth {

namespace {

CachePlaces places(Backend& backend, std::span<const int32_t> sequences, const Tensor& positions,
                   const BlockTables& tables) {
  const int64_t rows = tables.width > 0 ? int64_t(tables.blocks.size()) / tables.width : 0;
  return {Tensor::from_host<int32_t>(backend, sequences, {int64_t(sequences.size())}), positions,
          Tensor::from_host<int32_t>(backend, tables.blocks, {rows, tables.width})};
}

}  // namespace

Batch make_batch(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> lengths,
                 const BlockTables& tables) {
  std::vector<int32_t> positions, segments{0}, sequences;
  positions.reserve(ids.size());
  int64_t longest = 0;
  for (size_t s = 0; s < lengths.size(); s++) {
    for (int32_t p = 0; p < lengths[s]; p++) positions.push_back(p);
    if (tables.width > 0) sequences.insert(sequences.end(), size_t(lengths[s]), int32_t(s));
    segments.push_back(int32_t(positions.size()));
    longest = std::max<int64_t>(longest, lengths[s]);
  }
  require(positions.size() == ids.size(), ErrorKind::kInternal, "a batch of {} tokens with lengths that sum to {}",
          ids.size(), positions.size());
  Batch batch;
  batch.ids = Tensor::from_host<int32_t>(backend, ids, {int64_t(ids.size())});
  batch.positions = Tensor::from_host(backend, positions);
  batch.segments = Tensor::from_host(backend, segments);
  if (tables.width > 0) batch.places = places(backend, sequences, batch.positions, tables);
  batch.longest = longest;
  return batch;
}

Batch make_step(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> positions,
                std::span<const int32_t> sequences, const BlockTables& tables) {
  const int64_t n = int64_t(ids.size());
  Batch batch;
  batch.ids = Tensor::from_host<int32_t>(backend, ids, {n});
  batch.positions = Tensor::from_host<int32_t>(backend, positions, {n});
  batch.places = places(backend, sequences, batch.positions, tables);
  batch.longest = positions.empty() ? 0 : 1 + *std::max_element(positions.begin(), positions.end());
  return batch;
}

void copy_block(const KvCache& cache, int32_t to, int32_t from) {
  for (const LayerCache& layer : cache.layers)
    for (const Tensor& part : layer.parts())
      if (part) backend_of(part).copy(part[to], part[from]);
}

}  // namespace tenth
