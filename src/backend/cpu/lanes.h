// Moves across the lanes of a vector: folds, a transpose, masks. Include only from kernels (see vec.h).
#pragma once
#include <utility>

#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

using AllLanes = std::make_integer_sequence<int, kWidth>;

template <int... I>
TENTH_INLINE VecI lane_numbers(std::integer_sequence<int, I...>) {
  return VecI{I...};
}
// The first count lanes of x, the others of y.
TENTH_INLINE Vec keep_first(Vec x, int count, Vec y) { return lane_numbers(AllLanes()) < count ? x : y; }

// Of lane i, x where bit i is set, else y.
template <int... I>
TENTH_INLINE VecI lane_bits(std::integer_sequence<int, I...>) {
  return VecI{(1 << I)...};
}
TENTH_INLINE Vec keep_bits(Vec x, uint32_t bits, Vec y) { return (lane_bits(AllLanes()) & int32_t(bits)) != 0 ? x : y; }

// Lane i of the result is lane i ^ kDistance.
template <int kDistance, int... I>
TENTH_INLINE Vec exchange(Vec x, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, x, (I ^ kDistance)...);
}
template <int kDistance>
TENTH_INLINE Vec exchange(Vec x) {
  return exchange<kDistance>(x, AllLanes());
}

// Sum and maximum of all lanes, always in one order. A NaN may get lost in the maximum, never in the sum.
TENTH_INLINE float fold_sum(Vec x) {
  if constexpr (kWidth > 8) x = x + exchange<8 % kWidth>(x);
  if constexpr (kWidth > 4) x = x + exchange<4 % kWidth>(x);
  x = x + exchange<2>(x);
  return x[0] + x[1];
}
TENTH_INLINE float fold_max(Vec x) {
  if constexpr (kWidth > 8) x = max(x, exchange<8 % kWidth>(x));
  if constexpr (kWidth > 4) x = max(x, exchange<4 % kWidth>(x));
  x = max(x, exchange<2>(x));
  return x[0] > x[1] ? x[0] : x[1];
}

// The lanes of a and b in turn: the first halves, or the second ones.
template <int kHalf, int... I>
TENTH_INLINE Vec interleave(Vec a, Vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I % 2 * kWidth + kHalf * kWidth / 2 + I / 2)...);
}

// rows[i] lane j <-> rows[j] lane i. Each round interleaves rows half the width apart, which turns the bits of the
// element's index (row, lane) by one place; log2(kWidth) rounds exchange the two halves of that index.
TENTH_INLINE void transpose(Vec (&rows)[kWidth]) {
#pragma GCC unroll 4
  for (int round = kWidth; round > 1; round /= 2) {
    Vec next[kWidth];
#pragma GCC unroll 16
    for (int i = 0; i < kWidth / 2; i++) {
      next[2 * i] = interleave<0>(rows[i], rows[i + kWidth / 2], AllLanes());
      next[2 * i + 1] = interleave<1>(rows[i], rows[i + kWidth / 2], AllLanes());
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++) rows[i] = next[i];
  }
}

// Calls body(j) for every whole vector of n elements, then body(j, count) for what is left of them.
template <class Body>
TENTH_INLINE void walk(int64_t n, const Body& body) {
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) body(j);
  if (j < n) body(j, int(n - j));
}

// The sum of the vectors that body returns, as above; lanes past the count must be 0.
template <class Body>
TENTH_INLINE float sum_over(int64_t n, const Body& body) {
  Vec a = zero(), b = zero(), c = zero(), d = zero();
  int64_t j = 0;
  for (; j + 4 * kWidth <= n; j += 4 * kWidth) {
    a = a + body(j);
    b = b + body(j + kWidth);
    c = c + body(j + 2 * kWidth);
    d = d + body(j + 3 * kWidth);
  }
  for (; j + kWidth <= n; j += kWidth) a = a + body(j);
  if (j < n) b = b + body(j, int(n - j));
  return fold_sum((a + b) + (c + d));
}

TENTH_INLINE float max_over(const float* x, int64_t n) {
  const Vec nothing = broadcast(-__builtin_inff());
  Vec a = nothing, b = nothing;
  int64_t j = 0;
  for (; j + 2 * kWidth <= n; j += 2 * kWidth) {
    a = max(load(x + j), a);
    b = max(load(x + j + kWidth), b);
  }
  for (; j + kWidth <= n; j += kWidth) a = max(load(x + j), a);
  if (j < n) b = max(keep_first(load(x + j, int(n - j)), int(n - j), nothing), b);
  return fold_max(max(a, b));
}

#if TENTH_VEC_WIDTH == 16
TENTH_INLINE Vec square_root(Vec x) { return _mm512_maskz_sqrt_ps(0xffff, x); }
#elif TENTH_VEC_WIDTH == 8
TENTH_INLINE Vec square_root(Vec x) { return _mm256_sqrt_ps(x); }
#else
TENTH_INLINE Vec square_root(Vec x) { return _mm_sqrt_ps(x); }
#endif

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
