// Block formats against gguf-py's numbers, to the bit, and what rounding to them loses.
#include "tensor/block_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "shared.h"
#include "tensor/half.h"

namespace tenth {
namespace {

constexpr BlockFormat format(int i) { return BlockFormat(i); }

template <class T>
std::vector<T> values_of(const SafetensorsFile& file, const std::string& name) {
  const auto& bytes = file.at(name).bytes;
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

const SafetensorsFile& golden() {
  static const SafetensorsFile file(shared_folder() / "golden/formats/gguf_blocks.safetensors");
  return file;
}

bool same_bits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

TEST(BlockFormat, DecodesAsGgufPyToTheBit) {
  TENTH_NEEDS_SHARED();
  int seen = 0;
  for (int i = 0; i < kBlockFormats; i++) {
    for (const char* kind : {"", ".random"}) {
      const std::string name = std::string(name_of(format(i))) + kind;
      if (!golden().find(name + ".bytes")) continue;
      const auto bytes = values_of<std::byte>(golden(), name + ".bytes");
      const auto want = values_of<float>(golden(), name + ".values");
      ASSERT_EQ(int64_t(bytes.size()), row_bytes(format(i), int64_t(want.size()))) << name;
      std::vector<float> got(want.size());
      dequantize(format(i), bytes.data(), int64_t(want.size()), got.data());
      for (size_t at = 0; at < got.size(); at++)
        ASSERT_TRUE(same_bits(got[at], want[at])) << name << " " << at << ": " << got[at] << " " << want[at];
      seen++;
    }
  }
  EXPECT_EQ(seen, 18);  // every format, five of them twice
}

// But for the sign of a scale of 0, which gguf-py takes from the first element and ggml not.
TEST(BlockFormat, EncodesAsGgufPyToTheByte) {
  TENTH_NEEDS_SHARED();
  for (const BlockFormat f : {BlockFormat::kQ8_0, BlockFormat::kQ4_0}) {
    const std::string name(name_of(f));
    const auto values = values_of<float>(golden(), name + ".input");
    const auto want = values_of<std::byte>(golden(), name + ".bytes");
    std::vector<std::byte> got(want.size());
    quantize(f, values.data(), int64_t(values.size()), got.data());
    for (size_t i = 0; i < got.size(); i++) {
      const bool zero = i % size_t(block_bytes(f)) == 1 && uint8_t(got[i]) == 0x80 && got[i - 1] == std::byte(0);
      ASSERT_TRUE(zero || got[i] == want[i]) << name << " " << i;
    }
  }
}

// Root of the mean squared error over the root of the mean square.
double relative_error(BlockFormat f, const std::vector<float>& values) {
  std::vector<std::byte> blocks(size_t(row_bytes(f, int64_t(values.size()))));
  quantize(f, values.data(), int64_t(values.size()), blocks.data());
  std::vector<float> back(values.size());
  dequantize(f, blocks.data(), int64_t(values.size()), back.data());
  double off = 0, size = 0;
  for (size_t i = 0; i < values.size(); i++) {
    off += std::pow(double(back[i]) - double(values[i]), 2);
    size += std::pow(double(values[i]), 2);
  }
  return std::sqrt(off / size);
}

std::vector<float> normal_numbers(size_t count, float scale) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

// On normal numbers; measured 0.0053, 0.0868, 0.0705 and 0.0177. A Q4_K without search (scale and minimum of each
// sub-block from its range) reaches 0.078.
TEST(BlockFormat, LosesNoMoreThanTheFormatMust) {
  const std::vector<float> values = normal_numbers(1 << 16, 0.02f);
  EXPECT_LT(relative_error(BlockFormat::kQ8_0, values), 0.0054);
  EXPECT_LT(relative_error(BlockFormat::kQ4_0, values), 0.0880);
  EXPECT_LT(relative_error(BlockFormat::kQ4K, values), 0.0715);
  EXPECT_LT(relative_error(BlockFormat::kQ6K, values), 0.0180);
}

TEST(BlockFormat, EncodesNumbersOfAnySize) {
  for (const BlockFormat f : {BlockFormat::kQ8_0, BlockFormat::kQ4_0, BlockFormat::kQ4K, BlockFormat::kQ6K}) {
    for (const float size : {0.0f, 1e-45f, 1e-38f, 1e-20f, 1e-7f, 1e-3f, 1.0f, 1e3f, 16000.0f}) {
      std::vector<float> values = normal_numbers(512, 1);
      for (float& v : values) v *= size;
      std::vector<std::byte> blocks(size_t(row_bytes(f, 512)));
      quantize(f, values.data(), 512, blocks.data());
      std::vector<float> back(512);
      dequantize(f, blocks.data(), 512, back.data());
      for (size_t i = 0; i < 512; i++) EXPECT_LE(std::abs(back[i]), 5 * size + 1e-3f) << name_of(f) << " " << size;
      if (size < 1e-2f) continue;
      EXPECT_LT(relative_error(f, values), 0.1) << name_of(f) << " " << size;
    }
    for (const float bad : {NAN, INFINITY, -INFINITY, 65505.0f}) {
      std::vector<float> values(256, 1);
      values[255] = bad;
      std::vector<std::byte> blocks(size_t(row_bytes(f, 256)));
      try {
        quantize(f, values.data(), 256, blocks.data());
        ADD_FAILURE() << name_of(f) << " took " << bad;
      } catch (const Error& error) {
        EXPECT_EQ(int(error.kind()), int(ErrorKind::kNumeric));
      }
    }
  }
}

// A step of the block's range that is exactly representable comes back exactly.
TEST(BlockFormat, KeepsWhatItCanHold) {
  std::vector<float> values(256);
  for (int i = 0; i < 256; i++) values[size_t(i)] = float(i % 16) - 8;
  for (const BlockFormat f : {BlockFormat::kQ4_0, BlockFormat::kQ6K}) EXPECT_LT(relative_error(f, values), 1e-6);
  EXPECT_LT(relative_error(BlockFormat::kQ4K, values), 2e-3);  // scales in six bits of a half
}

TEST(Half, EveryPatternThereAndBack) {
  for (uint32_t bits = 0; bits < 1 << 16; bits++) {
    const float value = half_to_float(uint16_t(bits));
    const bool nan = (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff);
    ASSERT_EQ(std::isnan(value), nan) << bits;
    if (nan)
      ASSERT_TRUE(std::isnan(half_to_float(float_to_half(value))));
    else
      ASSERT_EQ(float_to_half(value), bits);
  }
}

// torch's conversions.
TEST(Half, RoundsAsTorch) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile file(shared_folder() / "golden/formats/conversions.safetensors");
  const auto values = values_of<float>(file, "input_f32");
  const auto want = values_of<uint16_t>(file, "f16_bits");
  for (size_t i = 0; i < values.size(); i++) {
    if (std::isnan(values[i])) continue;
    EXPECT_EQ(float_to_half(values[i]), want[i]) << values[i];
  }
}

}  // namespace
}  // namespace tenth
