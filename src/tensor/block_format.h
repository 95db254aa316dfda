// Block formats: rows of numbers in blocks of 32 or 256 that share scales, as GGUF files hold them. A row is whole
// blocks end to end; the bytes of each format are those of llama.cpp (ggml-common.h, ggml-quants.c; laid out in the
// .cpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tenth {

enum class BlockFormat : uint8_t {
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K,
  kIq4Nl,
  kIq4Xs,
  kMxfp4
};
inline constexpr int kBlockFormats = 13;

int64_t block_elements(BlockFormat format);  // 32 or 256
int64_t block_bytes(BlockFormat format);
std::string_view name_of(BlockFormat format);  // "Q8_0", "Q4_K", …, as in GGUF

// Bytes of count elements, which must be whole blocks.
inline int64_t row_bytes(BlockFormat format, int64_t count) {
  return count / block_elements(format) * block_bytes(format);
}

// count elements (whole blocks) as floats, in the arithmetic of gguf-py, to the bit. Every pattern of bytes is a
// number, infinite or NaN where its half-precision scale is; nothing is refused here.
void dequantize(BlockFormat format, const std::byte* blocks, int64_t count, float* values);

// The formats that are written: Q8_0, Q4_0, Q4_K, Q6_K.
bool can_quantize(BlockFormat format);
// Rounds count floats (whole blocks) to blocks. Q8_0 and Q4_0 as ggml's reference does, byte for byte; Q4_K and Q6_K
// search the scales that lose least, each element weighted by its size (llama.cpp's quantize_row_*_K_ref). Values must
// be finite and at most 65504 in size, the range of half-precision scales; others throw kNumeric.
void quantize(BlockFormat format, const float* values, int64_t count, std::byte* blocks);

}  // namespace tenth
