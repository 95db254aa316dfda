// The innermost loop of matrix products: a block of C in registers. Include only from isa/*.cpp.
#pragma once
#include <utility>

#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

// A tile is at most this many rows by two vectors: 28 of 32 registers, or 12 of 16, hold sums.
constexpr int kTileRows = kWidth == 16 ? 14 : 6;
constexpr int kPanel = 2 * kWidth;
constexpr int kStepPitch = kWidth == 16 ? 16 : 8;  // 4-byte elements from step to step of a tile that lies by steps

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

struct TileArgs {
  const char* a;
  int64_t a_row_bytes;
  const char* b;
  int64_t b_step_bytes, b_panel_bytes;
  float* c;
  int64_t c_stride, steps;
  bool add_to_c;
};

// C (kRows, kVectors * kWidth) = or += A (kRows, steps) B. Step s of row i of A lies at a + i * a_row_bytes + 4 s, or,
// if kBySteps, at a + 4 (s * kRows + i). Step s of panel p of B lies at b + p * b_panel_bytes + s * b_step_bytes.
template <class Multiply, int kRows, int kVectors, bool kBySteps>
void tile(const TileArgs& t) {
  float* const c = t.c;
  const int64_t c_stride = t.c_stride, a_row_bytes = t.a_row_bytes;
  Vec sums[kRows][kVectors];
  if (t.add_to_c) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) sums[i][v] = load(c + i * c_stride + v * kWidth);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) sums[i][v] = zero();
    }
  }
  const char *a = t.a, *b = t.b;
  for (int64_t s = 0; s < t.steps; s++) {
    Vec row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) row[v] = Multiply::load_b(b + v / 2 * t.b_panel_bytes, v % 2);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i++) {
      float value;
      __builtin_memcpy(&value, kBySteps ? a + 4 * i : a + i * a_row_bytes, 4);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) sums[i][v] = Multiply::add(value, row[v], sums[i][v]);
    }
    a += kBySteps ? 4 * kStepPitch : 4;
    b += t.b_step_bytes;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i++) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) store(c + i * c_stride + v * kWidth, sums[i][v]);
  }
}

using TileFunction = void (*)(const TileArgs&);
template <class Multiply, int kVectors, bool kBySteps, class Rows>
struct TileList;
template <class Multiply, int kVectors, bool kBySteps, int... I>
struct TileList<Multiply, kVectors, kBySteps, std::integer_sequence<int, I...>> {
  static constexpr TileFunction of_height[] = {tile<Multiply, I + 1, kVectors, kBySteps>...};
};

// A few rows do not keep the multiply-adds busy with one panel: several panels then run side by side. Up to this many
// rows take two panels or four.
constexpr int kRowsOfTwoPanels = kWidth == 16 ? 6 : 3, kRowsOfFourPanels = kWidth == 16 ? 3 : 1;

// vectors: 1 (the first half of a panel), 2, 4 or 8.
template <class Multiply>
TENTH_INLINE TileFunction find_tile(int64_t rows, int64_t vectors, bool by_steps) {
  using All = std::make_integer_sequence<int, kTileRows>;
  if (vectors == 8) {
    return TileList<Multiply, 8, false, std::make_integer_sequence<int, kRowsOfFourPanels>>::of_height[rows - 1];
  }
  if (vectors == 4) {
    return TileList<Multiply, 4, false, std::make_integer_sequence<int, kRowsOfTwoPanels>>::of_height[rows - 1];
  }
  if (by_steps)
    return (vectors == 1 ? TileList<Multiply, 1, true, All>::of_height
                         : TileList<Multiply, 2, true, All>::of_height)[rows - 1];
  return (vectors == 1 ? TileList<Multiply, 1, false, All>::of_height
                       : TileList<Multiply, 2, false, All>::of_height)[rows - 1];
}

// Rows are cut into tiles of nearly equal height: full ones and a thin rest would waste the thin one.
struct TileCut {
  int64_t rows, tiles;
  int64_t begin(int64_t t) const { return rows * t / tiles; }
};
TENTH_INLINE TileCut cut_rows(int64_t rows) { return {rows, (rows + kTileRows - 1) / kTileRows}; }

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
