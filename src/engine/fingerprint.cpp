#include "engine/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "base/clock.h"
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

class Hasher {
 public:
  void add(const void* data, size_t bytes) {
    Hash128 pair[2] = {hash_, hash128({static_cast<const std::byte*>(data), bytes})};
    hash_ = hash128(std::as_bytes(std::span(pair)));
  }
  void add(const std::string& text) { add(text.data(), text.size()); }
  void add(const Tensor& tensor) {
    if (!tensor) return;
    require(tensor.contiguous(), ErrorKind::kInternal, "a fingerprint of a tensor with gaps");
    add(tensor.shape().text());
    add(tensor.device(), tensor.raw(), tensor.bytes());
  }
  // The bytes that fill a panel up to whole cache lines may be anything.
  void add(const BlockWeight& weight) {
    if (!weight) return;
    const int64_t used = weight.least_offset() +
                         (weight.form == BlockWeight::Form::kInt4Min ? 2 * weight.blocks() * BlockWeight::kOutputs : 0);
    const std::byte* panel = static_cast<const std::byte*>(weight.data.raw());
    for (int64_t i = 0; i < weight.groups * weight.panels(); i++, panel += weight.panel_bytes())
      add(weight.data.device(), panel, size_t(used));
  }
  const Hash128& value() const { return hash_; }

 private:
  void add(Device& device, const void* data, size_t bytes) {
    constexpr size_t kPiece = size_t(1) << 20;
    piece_.resize(std::min(bytes, kPiece));
    for (size_t at = 0; at < bytes; at += kPiece) {
      const size_t size = std::min(kPiece, bytes - at);
      device.copy_to_host(piece_.data(), static_cast<const std::byte*>(data) + at, size);
      add(piece_.data(), size);
    }
  }

  Hash128 hash_;
  std::vector<std::byte> piece_;
};

constexpr int64_t kTokens = 16;

// The state that they leave, read as the engine reads a prompt.
Tensor state_of_a_few_tokens(Transformer& model) {
  const ModelConfig& config = model.config();
  std::vector<int32_t> ids, positions;
  for (int32_t i = 0; i < std::min(kTokens, config.max_position_embeddings); i++) {
    ids.push_back(int32_t((int64_t(i) * 7919 + 5) % config.vocab_size));
    positions.push_back(i);
  }
  const std::vector<int32_t> owners(ids.size(), 0), table = {0};
  KvCache cache = model.make_cache(1);
  NoGrad off;
  Pass pass;
  pass.batch = make_step(model.backend(), ids, positions, owners, {table, 1});
  pass.cache = &cache;
  pass.decode = true;
  return model.hidden(pass).value();
}

}  // namespace

ModelFingerprint fingerprint_of(Transformer& model) {
  Hasher y;
  y.add(config_json(model.config(), model.compute_type()).dump());
  y.add(std::string(model.backend().name()));
  const Hash128 program = hash128_of_file("/proc/self/exe");
  y.add(&program, sizeof program);
  const double begin = monotonic_seconds();
  y.add(state_of_a_few_tokens(model));  // before the weights: products pack theirs when they first run
  const double seconds = monotonic_seconds() - begin;
  std::set<const Weight*> seen;
  for (const Parameter& parameter : model.parameters()) {
    const Weight& weight = *parameter.weight;
    if (!seen.insert(&weight).second) continue;
    y.add(parameter.name);
    if (weight.value) {
      y.add(weight.value);  // the others are made from it
      continue;
    }
    y.add(weight.compute);
    y.add(weight.packed);
    for (const BlockWeight& blocks : {weight.blocks, weight.absorbed_keys, weight.absorbed_values}) y.add(blocks);
  }
  return {y.value(), seconds / double(kTokens)};
}

}  // namespace tenth
