#include "checkpoint/memory_check.h"

#include <algorithm>

#include "base/text.h"
#include "checkpoint/frozen_weights.h"

namespace tenth {
namespace {

constexpr int64_t kCacheTokens = 4096;

std::string size_text(int64_t bytes) { return short_number(double(bytes)) + "B"; }

int64_t context_of(const ModelConfig& config) { return std::min(config.max_position_embeddings, kCacheTokens); }

// What the user can do, the smallest change first.
struct Change {
  std::string command;
  WeightForm form;
};

std::vector<Change> changes_of(const WeightSource& source, const WeightForm& now, const std::string& path) {
  std::vector<Change> changes;
  const auto in_blocks = [](const SourceTensor& tensor) { return tensor.block.has_value(); };
  const auto& tensors = source.tensors();
  if (!now.keep_blocks && std::any_of(tensors.begin(), tensors.end(), in_blocks))
    changes.push_back({"--dtype auto", {source.compute_type(), true, {}}});
  else if (now.dense != DType::kBF16)
    changes.push_back({"--dtype bf16", {DType::kBF16, now.keep_blocks, {}}});
  for (const auto& [name, format] :
       {std::pair{"q8_0", BlockFormat::kQ8_0}, {"q4_k", BlockFormat::kQ4K}, {"q4_0", BlockFormat::kQ4_0}}) {
    changes.push_back(
        {fmt::format("tenth quantize {} --to {} --out SMALLER.gguf", path, name), {DType::kF32, true, format}});
  }
  return changes;
}

}  // namespace

int64_t cache_bytes(const ModelConfig& c, DType type, int64_t tokens) {
  const int64_t width = c.mla() ? c.kv_lora_rank + c.qk_rope_head_dim + (c.sparse_attention() ? c.index_head_dim : 0)
                                : c.num_key_value_heads * (c.query_dim() + c.value_dim());
  return (c.num_hidden_layers + c.num_nextn_predict_layers) * tokens * width * int64_t(size_of(type));
}

void require_memory(Transformer& model, const WeightSource& source, const Path& path, int64_t available) {
  const WeightForm now{model.compute_type(), model.keeps_blocks(), {}};
  const auto cache = [&](const WeightForm& form) {
    return cache_bytes(model.config(), frozen_cache_type(model, source, form), context_of(model.config()));
  };
  const int64_t weights = frozen_weight_bytes(model, source, now);
  if (weights + cache(now) <= available) return;
  const std::string shown = printable(path.string());
  std::string advice;
  int64_t least = weights + cache(now);
  for (const Change& change : changes_of(source, now, shown)) {
    const int64_t need = frozen_weight_bytes(model, source, change.form) + cache(change.form);
    least = std::min(least, need);
    if (need > available) continue;
    advice = fmt::format("with {} it would need {}", change.command, size_text(need));
    break;
  }
  if (advice.empty()) advice = fmt::format("in 4 bits it would need {} still", size_text(least));
  fail(ErrorKind::kInput, "{}: needs {} of memory ({} for weights, {} for a cache of {} tokens), {} are available: {}",
       shown, size_text(weights + cache(now)), size_text(weights), size_text(cache(now)), context_of(model.config()),
       size_text(available), advice);
}

void require_memory_to_train(const ModelConfig& config, const ComputeType& compute, const Path& path,
                             int64_t available) {
  const DType master = gradient_type(compute.dtype);
  const auto size = [](DType type) { return int64_t(size_of(type)); };
  const int64_t each = size(master) + (compute.dtype != master ? size(compute.dtype) : 0) + size(compute.dtype);
  const int64_t need = model_size(config).parameters * each;
  require(need <= available, ErrorKind::kInput,
          "{}: needs {} of memory for {} parameters that can be trained ({} bytes each), {} are available",
          printable(path.string()), size_text(need), model_size(config).parameters, each, size_text(available));
}

}  // namespace tenth
