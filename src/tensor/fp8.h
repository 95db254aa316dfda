// 8-bit floating point (OCP 8-bit Floating Point Specification, revision 1.0) and the scale that a tile of such numbers
// shares. Conversions round to nearest, ties to even, and saturate: what is too large, infinities too, becomes the
// largest finite number. NaN stays NaN.
#pragma once
#include <bit>
#include <cstdint>

namespace tenth {

// A number of 1 sign, 7 - Mantissa exponent and Mantissa fraction bits. Largest: the code of the largest finite number.
template <int Mantissa, int Bias, uint8_t Largest>
struct Float8 {
  uint8_t bits = 0;

  Float8() = default;
  explicit Float8(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value), size = u & 0x7fffffffu;
    // Normal: cut the fraction, exponent re-based. Subnormal: adding 2^23 units of the last place leaves the count of
    // such units in the low bits, rounded by the adder.
    constexpr int kCut = 23 - Mantissa;
    constexpr uint32_t kRebase = uint32_t(127 - Bias) << Mantissa, kSmallestNormal = uint32_t(128 - Bias) << 23;
    constexpr float kAdd = std::bit_cast<float>(uint32_t(127 + 24 - Bias - Mantissa) << 23);
    const uint32_t normal = ((size + (1u << (kCut - 1)) - 1 + (size >> kCut & 1)) >> kCut) - kRebase;
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(size) + kAdd) & 0xffu;
    uint32_t code = size < kSmallestNormal ? subnormal : normal;
    code = code > Largest ? Largest : code;
    code = size > 0x7f800000u ? 0x7fu : code;
    bits = uint8_t(code | (u >> 24 & 0x80u));
  }
  operator float() const {
    constexpr int kCut = 23 - Mantissa;
    constexpr float kUnit = std::bit_cast<float>(uint32_t(128 - Bias - Mantissa) << 23);  // of the last place
    const uint32_t code = bits & 0x7fu, sign = uint32_t(bits & 0x80u) << 24;
    const uint32_t normal = (code << kCut) + (uint32_t(127 - Bias) << 23);
    uint32_t u = code >> Mantissa ? normal : std::bit_cast<uint32_t>(float(code) * kUnit);
    if (code > Largest) u = code == Largest + 1u && Mantissa == 2 ? 0x7f800000u : 0x7fc00000u;
    return std::bit_cast<float>(u | sign);
  }
};

using fp8_e4m3 = Float8<3, 7, 0x7e>;   // to 448, no infinity, 0x7f is NaN
using fp8_e5m2 = Float8<2, 15, 0x7b>;  // to 57344, 0x7c is infinity

// 2^(bits - 127), a scale; 255 is NaN.
struct fp8_ue8m0 {
  uint8_t bits = 0;

  fp8_ue8m0() = default;
  // The smallest power of two that is not below value, a positive number; NaN for infinity and NaN.
  explicit fp8_ue8m0(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value), exponent = (u + 0x7fffffu) >> 23;
    bits = uint8_t(u <= 0x00400000u ? 0 : exponent > 255 ? 255 : exponent);  // 2^-127 is a subnormal f32
  }
  operator float() const {
    return std::bit_cast<float>(bits == 255 ? 0x7fc00000u : bits == 0 ? 0x00400000u : uint32_t(bits) << 23);
  }
};

// How the scale of a tile with the largest absolute value amax is stored (DeepSeek-V3 report, section 3.3).
enum class Fp8Scale {
  kF32,    // amax / 448
  kUe8m0,  // the next power of two from there upwards: 2^ceil(log2(amax / 448))
};

inline float fp8_scale(float amax, Fp8Scale kind) {
  const float scale = amax / 448.0f;
  return kind == Fp8Scale::kF32 ? scale : float(fp8_ue8m0(scale));
}

}  // namespace tenth
