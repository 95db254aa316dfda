// FP8 e4m3 kernels, compiled once for each instruction set: include only from isa/*.cpp. The arithmetic is that of
// Float8 in tensor/fp8.h, element by element; every step of it is exact or one IEEE operation, so that all instruction
// sets give the same bits.
#pragma once
#include "backend/cpu/fp8_table.h"
#include "backend/cpu/lanes.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

typedef uint8_t VecB __attribute__((vector_size(kWidth)));
typedef uint8_t UnalignedVecB __attribute__((vector_size(kWidth), aligned(1), may_alias));

TENTH_INLINE VecU load_codes(const uint8_t* p) { return __builtin_convertvector(*(const UnalignedVecB*)p, VecU); }
TENTH_INLINE VecU load_codes(const uint8_t* p, int count) {
  uint8_t lanes[kWidth] = {};
  for (int i = 0; i < kWidth; i++)
    if (i < count) lanes[i] = p[i];
  return load_codes(lanes);
}
TENTH_INLINE void store_codes(uint8_t* p, VecU codes) { *(UnalignedVecB*)p = __builtin_convertvector(codes, VecB); }
TENTH_INLINE void store_codes(uint8_t* p, VecU codes, int count) {
  uint8_t lanes[kWidth];
  store_codes(lanes, codes);
  for (int i = 0; i < kWidth; i++)
    if (i < count) p[i] = lanes[i];
}

TENTH_INLINE VecU pick(VecI mask, VecU a, VecU b) { return mask ? a : b; }
TENTH_INLINE Vec magnitude(Vec x) { return (Vec)((VecU)x & 0x7fffffffu); }

constexpr uint32_t kLargestCode = 0x7e, kNanCode = 0x7f, kSign = 0x80000000u;
constexpr float kSmallestNormal = 0x1p-6f, kLargest = 448, kUnit = 0x1p-9f;  // kUnit: of subnormal numbers
constexpr float kAlign = 0x1p14f;  // its last place is kUnit: adding it rounds to a multiple of kUnit, ties to even

// The bits of |x| with three places of fraction, ties to even; below kSmallestNormal without meaning.
TENTH_INLINE VecU cut_fraction(VecU size) { return (size + 0x7ffffu + (size >> 20 & 1)) & 0xfff00000u; }

// The e4m3 number nearest to x, as f32.
TENTH_INLINE Vec nearest(Vec x) {
  const Vec size = magnitude(x);
  const Vec fixed = (size + kAlign) - kAlign;
  const Vec normal = min((Vec)cut_fraction((VecU)size), broadcast(kLargest));
  const Vec y = select(size < kSmallestNormal, fixed, normal);
  return select(x == x, (Vec)((VecU)y | ((VecU)x & kSign)), x);
}

TENTH_INLINE VecU encode(Vec x) {
  const Vec size = magnitude(x);
  const VecU fixed = (VecU)(size + kAlign) & 0xffu;
  const VecU normal = (cut_fraction((VecU)size) >> 20) - (120u << 3);
  const VecU saturated = pick(size > kLargest, VecU{} + kLargestCode, normal);
  const VecU code = pick(size < kSmallestNormal, fixed, saturated);
  return pick(x == x, code, VecU{} + kNanCode) | ((VecU)x >> 24 & 0x80u);
}

TENTH_INLINE Vec decode(VecU q) {
  const VecU code = q & 0x7fu;
  const VecU normal = (code << 20) + (120u << 23);
  const VecU fixed = (VecU)(__builtin_convertvector((VecI)code, Vec) * kUnit);
  const VecU finite = pick((VecI)code < 8, fixed, normal);
  return (Vec)(pick(code == kNanCode, VecU{} + 0x7fc00000u, finite) | (q & 0x80u) << 24);
}

template <class T>
float largest(float amax, const T* x, int64_t n) {
  Vec a = broadcast(amax), b = a;
  int64_t j = 0;
  for (; j + 2 * kWidth <= n; j += 2 * kWidth) {
    a = max(magnitude(load(x + j)), a);
    b = max(magnitude(load(x + j + kWidth)), b);
  }
  for (; j + kWidth <= n; j += kWidth) a = max(magnitude(load(x + j)), a);
  if (j < n) b = max(magnitude(load(x + j, int(n - j))), b);
  return fold_max(max(a, b));
}

template <class T>
void raise(float* amax, const T* x, int64_t n) {
  walk(n, [&](int64_t j, auto... count) {
    store(amax + j, max(magnitude(load(x + j, count...)), load(amax + j, count...)), count...);
  });
}

template <class T>
void quantize(uint8_t* q, const T* x, const float* scales, int64_t n) {
  walk(n, [&](int64_t j, auto... count) {
    store_codes(q + j, encode(load(x + j, count...) / load(scales + j, count...)), count...);
  });
}

template <class T>
void dequantize(T* y, const uint8_t* q, const float* scales, int64_t n) {
  walk(n, [&](int64_t j, auto... count) {
    store(y + j, decode(load_codes(q + j, count...)) * load(scales + j, count...), count...);
  });
}

template <class Y, class X>
void round(void* y_, const void* x_, const float* scales, int64_t n) {
  Y* y = static_cast<Y*>(y_);
  const X* x = static_cast<const X*>(x_);
  walk(n, [&](int64_t j, auto... count) {
    const Vec scale = load(scales + j, count...);
    store(y + j, nearest(load(x + j, count...) / scale) * scale, count...);
  });
}

template <class T>
constexpr Fp8KernelsOf<T> kFp8KernelsOf = {
    .largest = largest<T>, .raise = raise<T>, .quantize = quantize<T>, .dequantize = dequantize<T>};

constexpr Fp8Kernels kFp8Kernels = {
    .f32 = kFp8KernelsOf<float>,
    .bf16 = kFp8KernelsOf<uint16_t>,
    .round = {{round<float, float>, round<float, uint16_t>}, {round<uint16_t, float>, round<uint16_t, uint16_t>}},
};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
