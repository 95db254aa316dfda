// Where a model's weights come from: a Hugging Face folder (safetensors, plain or in FP8 blocks) or a GGUF file. Either
// way its tensors appear under Hugging Face's names and shapes, in the encoding in which they are stored: a reader asks
// for rows of floats, a kernel that knows the encoding takes the bytes as they lie.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "nn/config.h"

namespace tenth {

// Views live as long as the WeightSource.
struct SourceTensor {
  std::string name;                  // Hugging Face's
  std::vector<int64_t> shape;        // Hugging Face's; rows are the last dimension
  std::string_view encoding;         // as stored: "F32", "BF16", "F8_E4M3", "Q4_K", …
  std::optional<BlockFormat> block;  // where the encoding is one
  std::span<const std::byte> data;   // all rows, end to end; for latent_expansion: empty
  std::string_view file;             // where it lies, for errors

  // Rows of q_proj and k_proj in GGUF files of the llama architecture: of each of so many heads (0: plain), row
  // (i, half) of (d / 2, 2) is Hugging Face's row (half, i).
  int64_t rotary_heads = 0;

  // FP8 (DeepSeek-V3's README_WEIGHTS): value = byte x scale, one scale for each 128 x 128 block, the blocks at the
  // ends cut: (ceil(rows / 128), ceil(columns / 128)) of F32, BF16 or F8_E8M0.
  const StoredTensor* scales = nullptr;

  // kv_b_proj in GGUF files: of each head, nope_dim rows, which are the columns of keys (H, latent, nope_dim), then
  // value_dim rows of values (H, value_dim, latent).
  struct LatentExpansion {
    const GgufTensor *keys = nullptr, *values = nullptr;
  } latent_expansion;

  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const;                   // the product of the other dimensions
  int64_t stored_row(int64_t row) const;  // where a row of the tensor stands in the data
  uint64_t file_bytes() const;            // that it takes, scales included

  // Rows [begin, end) as floats. Throws kUnsupported for an encoding that cannot be read.
  void read_rows(int64_t begin, int64_t end, float* values) const;
  void check_shape(const Shape& expected) const;  // throws kInput
  void give_back() const;                         // the memory of its part of the map
  // All of it, into a tensor or view of the same shape and a float type, whose rows may be apart; then gives the pages
  // of the map back. Throws kInput where the shape differs, kUnsupported as above.
  void load_into(const Tensor& destination) const;
};

class WeightSource {
 public:
  // model: a folder, or a file, which must be GGUF. Reads the headers and the config, no weights. Throws kInput,
  // kUnsupported.
  static WeightSource open(const Path& model);

  const ModelConfig& config() const { return config_; }
  const std::string& config_file() const { return config_file_; }        // where the config stands, for errors
  const std::vector<SourceTensor>& tensors() const { return tensors_; }  // sorted by name
  const SourceTensor* find(std::string_view name) const;                 // null if it is not there
  const SourceTensor& at(std::string_view name) const;                   // throws kInput if it is not there
  // Refuses a config that asks for more than twice the weights that the files hold, before any memory is taken for it;
  // of one that asks for less, check_weights (model_folder.h) names the tensor that is not there. Throws kInput.
  void check_size() const;
  // What to compute in: bf16 for weights of 16 bits or FP8; else f32, in which the activations beside weights of few
  // bits stay exact.
  DType compute_type() const;
  const GgufMetadata* gguf() const { return gguf_ ? &gguf_->metadata() : nullptr; }

 private:
  void take_safetensors();
  // Transformers leaves the multi-token prediction module out of what it saves, and in the config.
  void forget_missing_module();
  void take_gguf();

  std::optional<SafetensorsSet> safetensors_;
  std::optional<GgufFile> gguf_;
  ModelConfig config_;
  std::string config_file_, weights_file_;
  std::vector<SourceTensor> tensors_;
};

// config.json of a folder or the metadata of a .gguf file, without a look at the weights.
ModelConfig read_model_config(const Path& model);

}  // namespace tenth
