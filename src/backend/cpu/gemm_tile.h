// The innermost loop of matrix products: a block of C in registers. Include only from isa/*.cpp.
#pragma once
#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

// A tile is at most this many rows by two vectors: 28 of 32 registers, or 12 of 16, hold sums.
constexpr int kTileRows = kWidth == 16 ? 14 : 6;
constexpr int kPanel = 2 * kWidth;

// What one step along k does. A step is 4 bytes of A, a float or a pair of bf16, times a row of a panel of B.
struct MultiplyF32 {
  TENTH_INLINE Vec load_b(const char* p, int v) { return load((const float*)p + v * kWidth); }
  TENTH_INLINE Vec add(float a, Vec b, Vec sum) { return broadcast(a) * b + sum; }
};

// B is bf16, widened on its way into a register.
struct MultiplyWidened {
  TENTH_INLINE Vec load_b(const char* p, int v) { return load((const uint16_t*)p + v * kWidth); }
  TENTH_INLINE Vec add(float a, Vec b, Vec sum) { return broadcast(a) * b + sum; }
};

#ifdef __AVX512BF16__
struct MultiplyPairs {
  TENTH_INLINE Vec load_b(const char* p, int v) { return load((const float*)p + v * kWidth); }
  TENTH_INLINE Vec add(float a, Vec b, Vec sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_ps(a), (__m512bh)b);
  }
};
#endif

// C (kRows, kPanel) = or += A (kRows, steps) B (steps, kPanel). Step s of row i of A: at a + i * a_row_bytes + 4 s, or,
// if kBySteps, at a + 4 (s * kRows + i). Step s of B: at b + s * b_step_bytes.
template <class Multiply, int kRows, bool kBySteps>
void tile(const char* a, int64_t a_row_bytes, const char* b, int64_t b_step_bytes, float* c, int64_t c_stride,
          int64_t steps, bool add_to_c) {
  Vec sums[kRows][2];
  if (add_to_c) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      sums[i][0] = load(c + i * c_stride);
      sums[i][1] = load(c + i * c_stride + kWidth);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) sums[i][0] = sums[i][1] = zero();
  }
  for (int64_t s = 0; s < steps; s++) {
    const Vec b0 = Multiply::load_b(b, 0), b1 = Multiply::load_b(b, 1);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      float value;
      __builtin_memcpy(&value, kBySteps ? a + 4 * i : a + i * a_row_bytes, 4);
      sums[i][0] = Multiply::add(value, b0, sums[i][0]);
      sums[i][1] = Multiply::add(value, b1, sums[i][1]);
    }
    a += kBySteps ? 4 * kRows : 4;
    b += b_step_bytes;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) {
    store(c + i * c_stride, sums[i][0]);
    store(c + i * c_stride + kWidth, sums[i][1]);
  }
}

using TileFunction = void (*)(const char*, int64_t, const char*, int64_t, float*, int64_t, int64_t, bool);
template <class Multiply, int... kRows>
struct TileList {
  static constexpr TileFunction by_rows[] = {tile<Multiply, kRows, false>...};
  static constexpr TileFunction by_steps[] = {tile<Multiply, kRows, true>...};
};
#if TENTH_VEC_WIDTH == 16
template <class Multiply>
using Tiles = TileList<Multiply, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>;
#else
template <class Multiply>
using Tiles = TileList<Multiply, 1, 2, 3, 4, 5, 6>;
#endif

// Rows are cut into tiles of nearly equal height: full ones and a thin rest would waste the thin one.
struct TileCut {
  int64_t rows, tiles;
  int64_t begin(int64_t t) const { return rows * t / tiles; }
};
TENTH_INLINE TileCut cut_rows(int64_t rows) { return {rows, (rows + kTileRows - 1) / kTileRows}; }

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
