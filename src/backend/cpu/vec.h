// A vector of kWidth floats, for kernels that are compiled once for each instruction set.
//
// The including file (isa/*.cpp) defines TENTH_ISA, the namespace that everything lands in, and TENTH_VEC_WIDTH, 4, 8
// or
// 16. Everything has internal linkage (see kernels.h for why). Multiply-adds are written a * b + c and become one
// instruction where there is one (-ffp-contract=fast). bf16 values are uint16_t here.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define TENTH_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr int kWidth = TENTH_VEC_WIDTH;
typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef int32_t VecI __attribute__((vector_size(4 * kWidth)));  // also what a comparison of Vec gives: -1 or 0
typedef uint32_t VecU __attribute__((vector_size(4 * kWidth)));
typedef uint16_t VecH __attribute__((vector_size(2 * kWidth)));
typedef float UnalignedVec __attribute__((vector_size(4 * kWidth), aligned(1), may_alias));
typedef uint16_t UnalignedVecH __attribute__((vector_size(2 * kWidth), aligned(1), may_alias));

TENTH_INLINE Vec broadcast(float x) { return x - Vec{}; }  // x + 0 would turn -0 into 0, and costs an addition
TENTH_INLINE Vec zero() { return Vec{}; }

// bf16 -> f32 is exact; f32 -> bf16 rounds to nearest, ties to even, and keeps NaN (as bf16 of tensor/dtype.h).
TENTH_INLINE Vec widen(VecH h) { return (Vec)(__builtin_convertvector(h, VecU) << 16); }
#if TENTH_VEC_WIDTH == 16 && defined(__AVX512BF16__)
TENTH_INLINE VecH narrow(Vec x) { return (VecH)_mm512_cvtneps_pbh(x); }  // subnormal numbers become 0
#else
TENTH_INLINE VecH narrow(Vec x) {
  const VecU u = (VecU)x;
  const VecU rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
  const VecU quiet_nan = u >> 16 | 0x40;
  return __builtin_convertvector((VecU)(x != x ? (VecI)quiet_nan : (VecI)rounded), VecH);
}
#endif

// Loads and stores, unaligned. With a count (0 … kWidth) only that many elements are touched; the others load as 0.
TENTH_INLINE Vec load(const float* p) { return *(const UnalignedVec*)p; }
TENTH_INLINE void store(float* p, Vec x) { *(UnalignedVec*)p = x; }
TENTH_INLINE Vec load(const uint16_t* p) { return widen(*(const UnalignedVecH*)p); }
TENTH_INLINE void store(uint16_t* p, Vec x) { *(UnalignedVecH*)p = narrow(x); }

#if TENTH_VEC_WIDTH == 16
TENTH_INLINE Vec load(const float* p, int count) { return _mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p); }
TENTH_INLINE void store(float* p, Vec x, int count) { _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), x); }
TENTH_INLINE Vec load(const uint16_t* p, int count) {
  return widen((VecH)_mm256_maskz_loadu_epi16(__mmask16((1u << count) - 1), p));
}
TENTH_INLINE void store(uint16_t* p, Vec x, int count) {
  _mm256_mask_storeu_epi16(p, __mmask16((1u << count) - 1), (__m256i)narrow(x));
}
#else
#if TENTH_VEC_WIDTH == 8
TENTH_INLINE __m256i lanes_below(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
TENTH_INLINE Vec load(const float* p, int count) { return _mm256_maskload_ps(p, lanes_below(count)); }
TENTH_INLINE void store(float* p, Vec x, int count) { _mm256_maskstore_ps(p, lanes_below(count), x); }
#else
TENTH_INLINE Vec load(const float* p, int count) {
  float lanes[kWidth] = {};
  for (int i = 0; i < kWidth; i++)
    if (i < count) __builtin_memcpy(lanes + i, p + i, sizeof(float));  // p may be anywhere
  return load(lanes);
}
TENTH_INLINE void store(float* p, Vec x, int count) {
  for (int i = 0; i < kWidth; i++)
    if (i < count) p[i] = x[i];
}
#endif
TENTH_INLINE Vec load(const uint16_t* p, int count) {
  uint16_t lanes[kWidth] = {};
  for (int i = 0; i < kWidth; i++)
    if (i < count) lanes[i] = p[i];
  return load(lanes);
}
TENTH_INLINE void store(uint16_t* p, Vec x, int count) {
  const VecH h = narrow(x);
  for (int i = 0; i < kWidth; i++)
    if (i < count) p[i] = h[i];
}
#endif

// where mask is true (-1) a, else b.
TENTH_INLINE Vec select(VecI mask, Vec a, Vec b) { return mask ? a : b; }
TENTH_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }  // b where one is NaN
TENTH_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }  // b where one is NaN

// Sums halves onto each other until one lane is left: always in this order.
TENTH_INLINE float sum(Vec x) {
  float lanes[kWidth] __attribute__((aligned(64)));
  *(Vec*)lanes = x;
#pragma GCC unroll 4
  for (int half = kWidth / 2; half > 4; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  if (kWidth > 4)
    for (int i = 0; i < 4; i++) lanes[i] += lanes[i + 4];
  return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}
TENTH_INLINE float max_of(Vec x) {
  float best = x[0];
  for (int i = 1; i < kWidth; i++) best = x[i] > best ? x[i] : best;
  return best;
}

// e^x to about 1 ulp: x = n ln 2 + r, |r| <= ln(2) / 2, e^r by a polynomial (Cephes expf), times 2^n, so that the ends
// of the range (0 below -104, infinity above 89) come out by themselves. NaN stays NaN.
TENTH_INLINE Vec exp(Vec x) {
  x = min(broadcast(89.0f), max(broadcast(-104.0f), x));
  constexpr float kRound = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer
  const Vec shifted = x * 1.44269504088896341f + kRound;
  const Vec n = shifted - kRound;
  const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec p = broadcast(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
#if TENTH_VEC_WIDTH == 16
  return _mm512_maskz_scalef_ps(0xffff, p, n);
#else
  const VecI exponent = (VecI)shifted - 0x4b400000;
  const VecI half = exponent >> 1;  // in two factors, for 2^n alone may be out of range
  return p * (Vec)((half + 127) << 23) * (Vec)((exponent - half + 127) << 23);
#endif
}

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
