// IEEE 754 half precision: 1 sign, 5 exponent and 10 fraction bits. A format of files, not an element type of tensors.
#pragma once
#include <bit>
#include <cstdint>

namespace tenth {

// Exact; NaN stays NaN.
inline float half_to_float(uint16_t half) {
  // The bits as a float are the number times 2^-112 (the difference of the exponents' biases), subnormals too.
  const uint32_t sign = uint32_t(half & 0x8000) << 16, size = uint32_t(half & 0x7fff) << 13;
  if (size >= 0x0f800000) return std::bit_cast<float>(sign | 0x70000000 | size);  // infinite or NaN
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(size) * 0x1p112f));
}

// To nearest, ties to even; beyond 65504 (65520 and more) infinite; NaN stays NaN.
inline uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), size = bits & 0x7fffffff;
  const uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  if (size > 0x7f800000) return sign | 0x7e00;
  if (size >= 0x47800000) return sign | 0x7c00;  // 65536 and more
  if (size < 0x38800000) {
    // Below 2^-14 a unit is 2^-24: adding 0.5, whose unit that is, lets the adder round.
    return sign | uint16_t(std::bit_cast<uint32_t>(std::bit_cast<float>(size) + 0.5f) - 0x3f000000);
  }
  return sign | uint16_t((size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13);
}

}  // namespace tenth
