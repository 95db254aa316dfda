// Copies of parts of matrices into the order that the register tiles read: include only from isa/*.cpp.
#pragma once
#include "backend/cpu/lanes.h"
#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

TENTH_INLINE int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
TENTH_INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
TENTH_INLINE int lanes_left(int64_t n) { return int(n < 0 ? 0 : n < kWidth ? n : kWidth); }

// Rows of what is copied lie apart: the processor does not foresee the next, so they are asked for this many ahead.
constexpr int64_t kPrefetchRows = 16;

// dst[c * dst_stride + r] = element c of row r, which begins at src + r * src_bytes, for r < rows, c < columns; r from
// rows to padded_rows (a multiple of kWidth) becomes 0. Elements are bf16, or any 4 bytes (pairs of bf16 too).
template <class T>
void transpose_copy(T* dst, int64_t dst_stride, const void* src, int64_t src_bytes, int64_t rows, int64_t columns,
                    int64_t padded_rows) {
  for (int64_t r0 = 0; r0 < padded_rows; r0 += kWidth) {
    const int valid = lanes_left(rows - r0);
    const char* from = (const char*)src + r0 * src_bytes;
    for (int64_t c0 = 0; c0 < columns; c0 += kWidth) {
      Vec block[kWidth];
      const int wide = lanes_left(columns - c0);
      if (valid == kWidth && wide == kWidth) {
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; i++) block[i] = load((const T*)(from + i * src_bytes) + c0);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < kWidth; i++)
          block[i] = i < valid ? load((const T*)(from + i * src_bytes) + c0, wide) : zero();
      }
      transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; i++)
        if (i < wide) store(dst + (c0 + i) * dst_stride + r0, block[i]);
    }
  }
}

// dst[r * dst_stride + c] = src[r * src_stride + c] for c < columns, converting; c from columns to padded becomes 0.
template <class To, class From>
void copy_rows(To* dst, int64_t dst_stride, const From* src, int64_t src_stride, int64_t rows, int64_t columns,
               int64_t padded) {
  for (int64_t r = 0; r < rows; r++) {
    To* to = dst + r * dst_stride;
    const From* from = src + r * src_stride;
    __builtin_prefetch(from + kPrefetchRows * src_stride);
    int64_t c = 0;
    for (; c + kWidth <= columns; c += kWidth) store(to + c, load(from + c));
    for (; c < padded; c += kWidth) store(to + c, load(from + c, lanes_left(columns - c)), lanes_left(padded - c));
  }
}

// A float rounded to bf16, as a float.
TENTH_INLINE Vec as_bf16(const uint16_t* p) { return load(p); }
TENTH_INLINE Vec as_bf16(const float* p) { return widen(narrow(load(p))); }
TENTH_INLINE Vec as_bf16(const uint16_t* p, int count) { return load(p, count); }
TENTH_INLINE Vec as_bf16(const float* p, int count) { return widen(narrow(load(p, count))); }

// Of two rows, element by element: the first in the lower half, the second in the upper one.
template <class From>
TENTH_INLINE Vec pair_of(const From* first, int64_t src_stride) {
  return (Vec)((VecU)as_bf16(first) >> 16 | (VecU)as_bf16(first + src_stride));
}
// The same at the edges: the first `count` columns, and 0 for a row past the last.
template <class From>
TENTH_INLINE Vec pair_of(const From* first, int64_t src_stride, int64_t rows, int count) {
  const VecU low = rows > 0 ? (VecU)as_bf16(first, count) : VecU{};
  const VecU high = rows > 1 ? (VecU)as_bf16(first + src_stride, count) : VecU{};
  return (Vec)(low >> 16 | high);
}

// Pairs of rows for dot products: dst[p * dst_stride + c] holds row 2 p in its lower half and row 2 p + 1 in its upper
// one. Rows and columns beyond the given ones are 0, up to padded_rows (even) and padded_columns, a multiple of kWidth.
template <class From>
void pair_rows(uint32_t* dst, int64_t dst_stride, const From* src, int64_t src_stride, int64_t rows, int64_t columns,
               int64_t padded_rows, int64_t padded_columns) {
  for (int64_t r = 0; r < padded_rows; r += 2) {
    const From* from = src + r * src_stride;
    __builtin_prefetch(from + kPrefetchRows * src_stride);
    __builtin_prefetch(from + (kPrefetchRows + 1) * src_stride);
    for (int64_t c = 0; c < padded_columns; c += kWidth) {
      const bool full = rows - r >= 2 && columns - c >= kWidth;
      const Vec pair =
          full ? pair_of(from + c, src_stride) : pair_of(from + c, src_stride, rows - r, lanes_left(columns - c));
      store((float*)(dst + r / 2 * dst_stride + c), pair);
    }
  }
}

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
