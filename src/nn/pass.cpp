#include "nn/pass.h"

#include <algorithm>

namespace tenth {

Batch make_batch(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> lengths,
                 std::span<const int32_t> slots) {
  std::vector<int32_t> positions, segments{0}, token_slots;
  positions.reserve(ids.size());
  int64_t longest = 0;
  for (size_t s = 0; s < lengths.size(); s++) {
    for (int32_t p = 0; p < lengths[s]; p++) positions.push_back(p);
    if (!slots.empty()) token_slots.insert(token_slots.end(), size_t(lengths[s]), slots[s]);
    segments.push_back(int32_t(positions.size()));
    longest = std::max<int64_t>(longest, lengths[s]);
  }
  require(positions.size() == ids.size(), ErrorKind::kInternal, "a batch of {} tokens with lengths that sum to {}",
          ids.size(), positions.size());
  Batch batch;
  batch.ids = Tensor::from_host<int32_t>(backend, ids, {int64_t(ids.size())});
  batch.positions = Tensor::from_host(backend, positions);
  batch.segments = Tensor::from_host(backend, segments);
  if (!slots.empty()) batch.slots = Tensor::from_host(backend, token_slots);
  batch.longest = longest;
  return batch;
}

Batch make_step(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> positions,
                std::span<const int32_t> slots) {
  const int64_t n = int64_t(ids.size());
  Batch batch;
  batch.ids = Tensor::from_host<int32_t>(backend, ids, {n});
  batch.positions = Tensor::from_host<int32_t>(backend, positions, {n});
  batch.slots = Tensor::from_host<int32_t>(backend, slots, {n});
  batch.longest = positions.empty() ? 0 : 1 + *std::max_element(positions.begin(), positions.end());
  return batch;
}

}  // namespace tenth
