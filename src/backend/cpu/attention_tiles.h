// What attention is made of: products of small float32 blocks in the caches, and packing into such blocks. Include only
// from kernels (see vec.h).
#pragma once
#include <type_traits>

#include "backend/cpu/lanes.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

TENTH_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
TENTH_INLINE int64_t whole_vectors(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

// --- C (m, n) = or += A (m, k) B (k, n), n in whole vectors ----------------------------------------------------------

// Elements of A, where they lie among bf16 too, at any of these.
typedef float Lane __attribute__((may_alias, aligned(2)));

// Two bf16. Where B is made of them, so is A, and a product is that of pairs: left[0] right[0] + left[1] right[1].
struct Pair {
  uint32_t bits;
};
template <class B>
constexpr bool kPaired = std::is_same_v<B, Pair>;
TENTH_INLINE Vec load(const Pair* p) { return load((const float*)p); }

// sum + left right. B is float, or bf16 and widened on the way, or pairs.
template <class B>
TENTH_INLINE Vec add_product(float left, Vec right, Vec sum) {
#ifdef __AVX512BF16__
  if constexpr (kPaired<B>) return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_ps(left), (__m512bh)right);
#else
  static_assert(!kPaired<B>);
#endif
  return broadcast(left) * right + sum;
}

// Element (i, p) of A is a[i * lda + p], or a[p * lda + i] when kColumns.
// kFetch: B comes from memory, and `next` after it; rows are asked for some time before they are needed, which the
// processor's own prefetching, that stops at each page of 4 KiB, does not.
template <int kRows, int kVectors, bool kColumns, bool kFetch, class B>
void tile(float* c, int64_t ldc, const Lane* a, int64_t lda, const B* b, int64_t ldb, int64_t k, bool add,
          const B* next) {
  constexpr int64_t kAhead = 4096 / (64 * sizeof(B));
  Vec sum[kRows][kVectors];  // in registers, which needs every loop over them unrolled
#pragma GCC unroll 8
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) sum[i][j] = add ? load(c + i * ldc + j * kWidth) : zero();
  const Lane* row[(kRows + 2) / 3];  // three rows a pointer: x86 adds 0, 1 or 2 times lda to a base for nothing
#pragma GCC unroll 3
  for (int i = 0; i < kRows; i += 3) row[i / 3] = a + i * (kColumns ? 1 : lda);
  for (int64_t p = 0; p < k; p++, b += ldb) {
    Vec right[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) right[j] = load(b + j * kWidth);
    if constexpr (kFetch) {
      const B* far = p + kAhead < k ? b + kAhead * ldb : next + (p + kAhead - k) * ldb;
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j++) __builtin_prefetch(far + j * kWidth);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++) {
      const float left = kColumns ? a[i] : row[i / 3][i % 3 * lda];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; j++) sum[i][j] = add_product<B>(left, right[j], sum[i][j]);
    }
    if (kColumns) a += lda;
#pragma GCC unroll 3
    for (int i = 0; i < kRows; i += 3) row[i / 3]++;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; j++) store(c + i * ldc + j * kWidth, sum[i][j]);
}

template <int kRows, bool kColumns, bool kFetch, class B>
void tile_row(float* c, int64_t ldc, const Lane* a, int64_t lda, const B* b, int64_t ldb, int64_t n, int64_t k,
              bool add, const B* next) {
  constexpr int kMost = kRows >= 4 ? 2 : 4;  // vectors: enough chains to hide the latency of an addition
  int64_t j = 0;
  for (; j + kMost * kWidth <= n; j += kMost * kWidth)
    tile<kRows, kMost, kColumns, kFetch>(c + j, ldc, a, lda, b + j, ldb, k, add, next + j);
  for (; kMost > 2 && j + 2 * kWidth <= n; j += 2 * kWidth)
    tile<kRows, 2, kColumns, kFetch>(c + j, ldc, a, lda, b + j, ldb, k, add, next + j);
  for (; j < n; j += kWidth) tile<kRows, 1, kColumns, kFetch>(c + j, ldc, a, lda, b + j, ldb, k, add, next + j);
}

template <bool kColumns, class B>
void multiply(float* c, int64_t ldc, const Lane* a, int64_t lda, const B* b, int64_t ldb, int64_t m, int64_t n,
              int64_t k, bool add) {
  constexpr int kMost = kWidth == 16 ? 8 : 4;  // rows: of 32 vector registers, or of 16
  const int64_t step = kColumns ? 1 : lda;
  int64_t i = 0;
  const auto rows = [&]<int kRows>(std::integral_constant<int, kRows>) {
    tile_row<kRows, kColumns, false, B>(c + i * ldc, ldc, a + i * step, lda, b, ldb, n, k, add, b);
    i += kRows;
  };
  while (i + kMost <= m) rows(std::integral_constant<int, kMost>());
  if constexpr (kMost > 4) {
    if (i + 4 <= m) rows(std::integral_constant<int, 4>());
    if (i + 3 == m) return rows(std::integral_constant<int, 3>());
  }
  if (i + 2 <= m) rows(std::integral_constant<int, 2>());
  if (i < m) rows(std::integral_constant<int, 1>());
}

// The same where B comes from memory and `next`, of its shape, will be wanted after it.
template <class B>
void multiply_fetching(float* c, int64_t ldc, const Lane* a, int64_t lda, const B* b, int64_t ldb, int64_t m, int64_t n,
                       int64_t k, bool add, const B* next) {
  const auto rows = [&]<int kRows>(std::integral_constant<int, kRows>) {
    tile_row<kRows, false, true, B>(c, ldc, a, lda, b, ldb, n, k, add, next);
    if (m > kRows) multiply<false>(c + kRows * ldc, ldc, a + kRows * lda, lda, b, ldb, m - kRows, n, k, add);
  };
  if (m >= 4) return rows(std::integral_constant<int, 4>());
  if constexpr (kWidth == 16) {
    if (m == 3) return rows(std::integral_constant<int, 3>());
  }
  m >= 2 ? rows(std::integral_constant<int, 2>()) : rows(std::integral_constant<int, 1>());
}

// --- packing to float32 and back -------------------------------------------------------------------------------------

// y (rows, ldy) from x (rows, n), with zeros up to the next whole vector.
template <class T>
void pack_rows(float* y, int64_t ldy, const T* x, int64_t ldx, int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; i++, y += ldy, x += ldx) {
    int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) store(y + j, load(x + j));
    if (j < n) store(y + j, load(x + j, int(n - j)));
  }
}

// y (n, ldy) = x (rows, n) transposed; columns from rows up to the next whole vector are zero.
template <class T>
void pack_transposed(float* y, int64_t ldy, const T* x, int64_t ldx, int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; i += kWidth)
    for (int64_t j = 0; j < n; j += kWidth) {
      const T* from = x + i * ldx + j;
      const int64_t height = least(kWidth, rows - i), width = least(kWidth, n - j);
      Vec part[kWidth];
      if (height == kWidth && width == kWidth) {
        for (int r = 0; r < kWidth; r++) part[r] = load(from + r * ldx);
      } else {
        for (int r = 0; r < kWidth; r++) part[r] = r < height ? load(from + r * ldx, int(width)) : zero();
      }
      transpose(part);
      float* to = y + j * ldy + i;
      if (width == kWidth) {
        for (int r = 0; r < kWidth; r++) store(to + r * ldy, part[r]);
      } else {
        for (int r = 0; r < kWidth; r++)
          if (r < width) store(to + r * ldy, part[r]);
      }
    }
}

// A row of floats becomes one of bf16, in its place.
TENTH_INLINE void narrow_in_place(float* row, int64_t n) {
  auto* to = (uint16_t*)row;
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) store(to + j, load(row + j));
  if (j < n) store(to + j, load(row + j, int(n - j)), int(n - j));
}

// y = factor x
template <class T>
void unpack_row(T* y, const float* x, int64_t n, float factor) {
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) store(y + j, load(x + j) * factor);
  if (j < n) store(y + j, load(x + j, int(n - j)) * factor, int(n - j));
}

// x . y, lane by lane in order, then the lanes.
template <class T>
float dot(const T* x, const T* y, int64_t n) {
  Vec total = zero();
  int64_t j = 0;
  for (; j + kWidth <= n; j += kWidth) total = load(x + j) * load(y + j) + total;
  if (j < n) total = load(x + j, int(n - j)) * load(y + j, int(n - j)) + total;
  return fold_sum(total);
}

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
