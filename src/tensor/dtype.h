// Element types. bfloat16 and the 8-bit floats (fp8.h) are value types of our own (gcc 12 has none).
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/fp8.h"

namespace tenth {

enum class DType : uint8_t { kF64, kF32, kBF16, kI64, kI32, kU8, kF8E4M3 };

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64: return 8;
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kBF16: return 2;
    case DType::kU8:
    case DType::kF8E4M3: return 1;
  }
  return 0;
}

std::string_view name_of(DType dtype);  // "f32", "bf16", …

// The upper half of a float32. Conversion rounds to nearest, ties to even; NaN stays NaN.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  explicit bf16(float value) {
    uint32_t u = std::bit_cast<uint32_t>(value);
    bits = (u & 0x7fffffffu) > 0x7f800000u ? uint16_t(u >> 16 | 0x40) : uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  explicit bf16(double value) : bf16(float(value)) {}
  operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<fp8_e4m3> {
  static constexpr DType value = DType::kF8E4M3;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace tenth
