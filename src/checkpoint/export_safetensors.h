// A model's weights as a Hugging Face folder: one file or shards with an index, plain or in DeepSeek-V3's FP8 blocks.
#pragma once
#include "checkpoint/row_stream.h"

namespace tenth {

struct SafetensorsExport {
  enum class Type { kF32, kBf16, kFp8 };
  Type type = Type::kBf16;
  uint64_t shard_bytes = uint64_t(5) << 30;  // a file holds at most these bytes of tensors, or one tensor
  ExportProgress progress = {};
};

// Writes model.safetensors, or its shards and model.safetensors.index.json, into an existing folder: all tensors of the
// source. The router's bias stays F32. FP8: the linears of blocks become e4m3 with weight_scale_inv, a scale amax / 448
// for each block of 128 x 128; embedding, head, norms, routers and eh_proj become BF16 (DeepSeek-V3's README_WEIGHTS);
// what the source has in FP8 is copied. Weights pass through memory in pieces: at most 16 strips of 128 rows.
// Throws kNumeric for FP8 of a number that is not finite, kIo.
void export_safetensors(const WeightSource& source, const Path& folder, const SafetensorsExport& options);

// config.json of that folder: the source's, with its torch_dtype and quantization_config.
std::string exported_config(const WeightSource& source, SafetensorsExport::Type type);

}  // namespace tenth
