// Engines: how blocks of A and B come into the order that tiles read, and which tiles run. Include only from isa/*.cpp.
#pragma once
#include "backend/cpu/gemm_pack.h"
#include "backend/cpu/gemm_table.h"
#include "backend/cpu/gemm_tile.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

// The largest block of a product.
constexpr int64_t kBlockM = 224, kBlockN = 512, kBlockK = 512;
constexpr int64_t kBlockTiles = kBlockM / kTileRows + 1;

// Part of a product: rows [m0, m0 + rows) of C, the part [k0, k0 + depth) of the sums.
struct Block {
  int64_t m0, rows, k0, depth;
};

struct BlockA {
  const char* data;
  int64_t stride_bytes;  // from row to row or, if by_steps, from tile to tile
  bool by_steps;         // see tile()
};
struct BlockB {
  const char* data;
  int64_t step_bytes, panel_bytes;
};

// Where rows lie a multiple of this many bytes apart, a few sets of the cache serve all of them: copying them pays.
TENTH_INLINE bool bad_stride(int64_t bytes) { return bytes % 2048 == 0; }

// A block of a transposed A as tiles by steps: along its rows, as it lies in memory. A step is one k, or a pair.
// Vectors are loaded whole where the row has as much; what they bring beyond the height of a tile is not read.
template <bool kPairs, class From>
BlockA copy_steps(const GemmTask& t, const Block& block, float* scratch) {
  const From* from = (const From*)t.a + block.k0 * t.a_stride + block.m0;
  const TileCut cut = cut_rows(block.rows);
  constexpr int kVectors = kStepPitch / kWidth;
  int64_t begin[kBlockTiles * kVectors];  // of each vector of a step
  for (int64_t v = 0; v < cut.tiles * kVectors; v++) begin[v] = cut.begin(v / kVectors) + v % kVectors * kWidth;
  const int64_t per_step = kPairs ? 2 : 1, steps = (block.depth + per_step - 1) / per_step;
  const int64_t tile_stride = steps * kStepPitch + 16;  // not a power of two
  for (int64_t s = 0; s < steps; s++) {
    const From* row = from + s * per_step * t.a_stride;
    for (int64_t ahead = 0; ahead < per_step; ahead++) {
      const char* far = (const char*)(row + (kPrefetchRows + ahead) * t.a_stride);
      for (int64_t byte = 0; byte < block.rows * int64_t(sizeof(From)); byte += 64) __builtin_prefetch(far + byte);
    }
    const bool whole = !kPairs || 2 * s + 2 <= block.depth;
    for (int64_t i = 0; i < cut.tiles; i++) {
      for (int v = 0; v < kVectors; v++) {
        const int64_t c = begin[i * kVectors + v], left = block.rows - c;
        float* to = scratch + i * tile_stride + s * kStepPitch + v * kWidth;
        const bool full = left >= kWidth && whole;
        if constexpr (kPairs)
          store(to, full ? pair_of(row + c, t.a_stride)
                         : pair_of(row + c, t.a_stride, block.depth - 2 * s, lanes_left(left)));
        else
          store(to, full ? load(row + c) : load(row + c, lanes_left(left)));
      }
    }
  }
  return {(const char*)scratch, 4 * tile_stride, true};
}

// What the engines that multiply in vectors share.
template <class Multiply>
struct VectorTiles {
  static constexpr int kRows = kTileRows, kColumns = kPanel;
  static constexpr int kColumnStep = kWidth;  // C is written in whole multiples of this
  struct Session {};

  // Columns to be made at once, at most `columns`, or a part of a panel.
  static int64_t width(const GemmTask& t, int64_t rows, int64_t columns) {
    if (t.a_transposed || t.b_layout != GemmLayout::kPanels) return kPanel;
    if (rows <= kRowsOfFourPanels && columns >= 4 * kPanel) return 4 * kPanel;
    return rows <= kRowsOfTwoPanels && columns >= 2 * kPanel ? 2 * kPanel : kPanel;
  }

  // Of the tiles into which block_rows are cut (A may lie by tiles), those that hold the first `rows`.
  static void multiply_tiles(const BlockA& a, const BlockB& b, int64_t block_rows, int64_t rows, int64_t columns,
                             int64_t steps, float* c, int64_t c_stride, bool add_to_c) {
    const TileCut cut = cut_rows(block_rows);
    const int64_t vectors = (columns + kWidth - 1) / kWidth;
    for (int64_t i = 0; i < cut.tiles && cut.begin(i) < rows; i++) {
      const int64_t r = cut.begin(i), height = cut.begin(i + 1) - r;
      find_tile<Multiply>(height, vectors, a.by_steps)({.a = a.data + (a.by_steps ? i : r) * a.stride_bytes,
                                                        .a_row_bytes = a.stride_bytes,
                                                        .b = b.data,
                                                        .b_step_bytes = b.step_bytes,
                                                        .b_panel_bytes = b.panel_bytes,
                                                        .c = c + r * c_stride,
                                                        .c_stride = c_stride,
                                                        .steps = steps,
                                                        .add_to_c = add_to_c});
    }
  }
};

// Sums in float32 of products of float32; B of type T, float or uint16_t (bf16), A of either.
template <class T, class Multiply>
struct FloatEngine : VectorTiles<Multiply> {
  static constexpr int kMultiple = 1, kElementBytes = sizeof(T);

  static void pack(void* panel, const void* b, int64_t b_stride, GemmLayout layout, int64_t k, int64_t n) {
    if (layout == GemmLayout::kRows) {
      copy_rows((T*)panel, kPanel, (const T*)b, b_stride, k, n, kPanel);
    } else {
      transpose_copy((T*)panel, kPanel, b, b_stride * int64_t(sizeof(T)), n, k, kPanel);
    }
  }

  template <class From>
  static BlockA copy_a(const GemmTask& t, const Block& block, float* scratch) {
    if (!t.a_transposed) {
      const int64_t stride = round_up(block.depth, 16) + 16;
      copy_rows(scratch, stride, (const From*)t.a + block.m0 * t.a_stride + block.k0, t.a_stride, block.rows,
                block.depth, block.depth);
      return {(const char*)scratch, 4 * stride, false};
    }
    return copy_steps<false, From>(t, block, scratch);
  }

  static BlockA prepare_a(const GemmTask& t, const Block& block, void* scratch) {
    if (!t.a_f32) return copy_a<uint16_t>(t, block, (float*)scratch);
    const bool copy = t.a_transposed || (bad_stride(4 * t.a_stride) && block.rows > kTileRows);
    if (copy) return copy_a<float>(t, block, (float*)scratch);
    return {(const char*)((const float*)t.a + block.m0 * t.a_stride + block.k0), 4 * t.a_stride, false};
  }

  static BlockB prepare_b(const GemmTask& t, const Block& block, int64_t n0, int64_t n, void* scratch) {
    constexpr int64_t kSize = sizeof(T);
    const T* b = (const T*)t.b;
    if (t.b_layout == GemmLayout::kPanels) {
      return {(const char*)(b + n0 * t.k + block.k0 * kPanel), kPanel * kSize, t.k * kPanel * kSize};
    }
    const bool rows = t.b_layout == GemmLayout::kRows;
    b += rows ? block.k0 * t.b_stride + n0 : n0 * t.b_stride + block.k0;
    if (rows && n == kPanel && t.m <= 2 * kTileRows) return {(const char*)b, t.b_stride * kSize, 0};
    pack(scratch, b, t.b_stride, t.b_layout, block.depth, n);
    return {(const char*)scratch, kPanel * kSize, 0};
  }

  static void multiply(const BlockA& a, const BlockB& b, const Block& block, int64_t rows, int64_t columns, float* c,
                       int64_t c_stride, bool add_to_c) {
    VectorTiles<Multiply>::multiply_tiles(a, b, block.rows, rows, columns, block.depth, c, c_stride, add_to_c);
  }
};

// Panels of pairs of bf16: step p of a panel holds elements 2 p and 2 p + 1 of k of its columns. k is padded with
// zeros.
template <int kMultipleOf, int kPanelColumns>
struct PairPanels {
  static constexpr int kMultiple = kMultipleOf, kElementBytes = 2;

  static void pack(void* panel, const void* b, int64_t b_stride, GemmLayout layout, int64_t k, int64_t n) {
    uint32_t* pairs = (uint32_t*)panel;
    const uint16_t* from = (const uint16_t*)b;
    const int64_t padded = round_up(k, kMultiple);
    if (layout == GemmLayout::kRows)
      return pair_rows(pairs, kPanelColumns, from, b_stride, k, n, padded, kPanelColumns);
    transpose_copy((float*)pairs, kPanelColumns, b, 2 * b_stride, n, k / 2, kPanelColumns);
    for (int64_t p = k / 2; p < padded / 2; p++) {
      for (int64_t j = 0; j < kPanelColumns; j++)
        pairs[p * kPanelColumns + j] = 2 * p < k && j < n ? from[j * b_stride + 2 * p] : 0;
    }
  }

  static BlockB prepare_b(const GemmTask& t, const Block& block, int64_t n0, int64_t n, void* scratch) {
    const uint16_t* b = (const uint16_t*)t.b;
    if (t.b_layout == GemmLayout::kPanels) {
      const int64_t padded = round_up(t.k, kMultiple);
      return {(const char*)(b + n0 * padded + block.k0 * kPanelColumns), 4 * kPanelColumns, 2 * padded * kPanelColumns};
    }
    b += t.b_layout == GemmLayout::kRows ? block.k0 * t.b_stride + n0 : n0 * t.b_stride + block.k0;
    pack(scratch, b, t.b_stride, t.b_layout, block.depth, n);
    return {(const char*)scratch, 4 * kPanelColumns, 0};
  }
};

#ifdef __AVX512BF16__
// Dot products of pairs of bf16, summed in float32.
struct PairEngine : PairPanels<2, kPanel>, VectorTiles<MultiplyPairs> {
  template <class From>
  static BlockA copy_a(const GemmTask& t, const Block& block, void* scratch) {
    const int64_t padded = round_up(block.depth, 2);
    if (!t.a_transposed) {
      const int64_t stride = round_up(block.depth, 32) + 32;
      copy_rows((uint16_t*)scratch, stride, (const From*)t.a + block.m0 * t.a_stride + block.k0, t.a_stride, block.rows,
                block.depth, padded);
      return {(const char*)scratch, 2 * stride, false};
    }
    return copy_steps<true, From>(t, block, (float*)scratch);
  }

  static BlockA prepare_a(const GemmTask& t, const Block& block, void* scratch) {
    if (t.a_f32) return copy_a<float>(t, block, scratch);
    const bool copy = t.a_transposed || block.depth % 2 != 0 || (bad_stride(2 * t.a_stride) && block.rows > kTileRows);
    if (copy) return copy_a<uint16_t>(t, block, scratch);
    return {(const char*)((const uint16_t*)t.a + block.m0 * t.a_stride + block.k0), 2 * t.a_stride, false};
  }

  static void multiply(const BlockA& a, const BlockB& b, const Block& block, int64_t rows, int64_t columns, float* c,
                       int64_t c_stride, bool add_to_c) {
    multiply_tiles(a, b, block.rows, rows, columns, (block.depth + 1) / 2, c, c_stride, add_to_c);
  }
};
#endif

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
