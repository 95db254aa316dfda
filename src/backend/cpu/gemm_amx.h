// bf16 products on AMX tiles (8 registers of 16 rows of 64 bytes). Include only from isa/*.cpp.
//
// C is made in blocks of 2 x 2 tiles, 32 x 32 floats: each pair of loads then serves two products. The engine is
// written over a small class of tiles with two implementations, the processor's and plain loops, so that everything
// around the four instructions (packing, edges, blocks) is tested on machines without AMX.
#pragma once
#include "backend/cpu/gemm_kernels.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr int kAmxRows = 32;       // of a block of C; its columns too
constexpr int64_t kAmxDepth = 32;  // of k in one tile product

struct EmulatedTiles {
  struct Session {};
  alignas(64) unsigned char tiles[8][16][64];

  template <int t>
  void zero() {
    __builtin_memset(tiles[t], 0, 1024);
  }
  template <int t>
  void load(const void* p, int64_t stride) {
    for (int r = 0; r < 16; r++) __builtin_memcpy(tiles[t][r], (const char*)p + r * stride, 64);
  }
  template <int t>
  void store(void* p, int64_t stride) {
    for (int r = 0; r < 16; r++) __builtin_memcpy((char*)p + r * stride, tiles[t][r], 64);
  }
  static float value(const unsigned char* row, int i) {
    uint16_t half;
    __builtin_memcpy(&half, row + 2 * i, 2);
    const uint32_t bits = uint32_t(half) << 16;
    float f;
    __builtin_memcpy(&f, &bits, 4);
    return f;
  }
  // c += a b: row m of a holds 32 of k, row p of b holds pair p of k of 16 columns.
  template <int c, int a, int b>
  void multiply() {
    for (int m = 0; m < 16; m++) {
      for (int n = 0; n < 16; n++) {
        float sum;
        __builtin_memcpy(&sum, tiles[c][m] + 4 * n, 4);
        for (int p = 0; p < 16; p++) {
          sum += value(tiles[a][m], 2 * p) * value(tiles[b][p], 2 * n);
          sum += value(tiles[a][m], 2 * p + 1) * value(tiles[b][p], 2 * n + 1);
        }
        __builtin_memcpy(tiles[c][m] + 4 * n, &sum, 4);
      }
    }
  }
};

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // GCC's name and clang's
// By assembler text of our own: gcc 12's intrinsics do not tell the optimiser what memory they read and write.
struct HardwareTiles {
  struct alignas(64) Configuration {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  struct Session {
    Session() {
      const Configuration configuration;
      asm volatile("ldtilecfg %0" ::"m"(configuration) : "memory");
    }
    ~Session() { asm volatile("tilerelease" ::: "memory"); }
  };

  template <int t>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(t));
  }
  template <int t>
  void load(const void* p, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(t) : "memory");
  }
  template <int t>
  void store(void* p, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(t) : "memory");
  }
  template <int c, int a, int b>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
};

int64_t amx_register_loop(int64_t steps) {
  HardwareTiles::Session session;
  HardwareTiles tiles;
  tiles.zero<0>(), tiles.zero<1>(), tiles.zero<2>(), tiles.zero<3>();
  tiles.zero<4>(), tiles.zero<5>(), tiles.zero<6>(), tiles.zero<7>();
  for (int64_t i = 0; i < steps; i++) {
    tiles.multiply<0, 4, 6>();
    tiles.multiply<1, 4, 7>();
    tiles.multiply<2, 5, 6>();
    tiles.multiply<3, 5, 7>();
  }
  return steps * 4 * 16 * 16 * kAmxDepth * 2;
}
#endif

// The tile registers of C are 0 … 3, of A 4 and 5, of B 6 and 7. kHeight: 16 or 32 rows.
template <class Tiles, int kHeight>
void amx_tile(const char* a, int64_t a_row_bytes, const char* b, float* c, int64_t c_stride, int64_t depth,
              bool add_to_c) {
  constexpr int64_t kStepBytes = 4 * 2 * 16;  // a pair of k of 32 columns
  Tiles tiles;
  const int64_t c_bytes = 4 * c_stride;
  if (add_to_c) {
    tiles.template load<0>(c, c_bytes), tiles.template load<1>(c + 16, c_bytes);
    if constexpr (kHeight == 32) {
      tiles.template load<2>(c + 16 * c_stride, c_bytes), tiles.template load<3>(c + 16 * c_stride + 16, c_bytes);
    }
  } else {
    tiles.template zero<0>(), tiles.template zero<1>();
    if constexpr (kHeight == 32) tiles.template zero<2>(), tiles.template zero<3>();
  }
  for (int64_t k = 0; k < depth; k += kAmxDepth) {
    tiles.template load<4>(a + 2 * k, a_row_bytes);
    tiles.template load<6>(b + k / 2 * kStepBytes, kStepBytes);
    tiles.template multiply<0, 4, 6>();
    tiles.template load<7>(b + k / 2 * kStepBytes + 64, kStepBytes);
    tiles.template multiply<1, 4, 7>();
    if constexpr (kHeight == 32) {
      tiles.template load<5>(a + 16 * a_row_bytes + 2 * k, a_row_bytes);
      tiles.template multiply<2, 5, 6>();
      tiles.template multiply<3, 5, 7>();
    }
  }
  tiles.template store<0>(c, c_bytes), tiles.template store<1>(c + 16, c_bytes);
  if constexpr (kHeight == 32) {
    tiles.template store<2>(c + 16 * c_stride, c_bytes), tiles.template store<3>(c + 16 * c_stride + 16, c_bytes);
  }
}

template <class Tiles>
struct AmxEngine : PairPanels<kAmxDepth, 32> {
  static constexpr int kRows = kAmxRows, kColumns = 32, kColumnStep = 32;
  using Session = typename Tiles::Session;

  // Rows of pairs of k, 16 rows and one tile of k at a time: pairs first, which lie by k, then their transposition.
  template <class From>
  static void transpose_a(const GemmTask& t, const Block& block, uint32_t* scratch, int64_t stride) {
    const From* from = (const From*)t.a + block.k0 * t.a_stride + block.m0;
    for (int64_t r = 0; r < block.rows; r += 16) {
      for (int64_t k = 0; k < block.depth; k += kAmxDepth) {
        uint32_t pairs[16 * 16];
        pair_rows(pairs, 16, from + k * t.a_stride + r, t.a_stride, lesser(kAmxDepth, block.depth - k),
                  lesser(16, block.rows - r), kAmxDepth, 16);
        transpose_copy((float*)scratch + r * stride + k / 2, stride, pairs, 64, 16, 16, 16);
      }
    }
  }
  template <class From>
  static BlockA copy_a(const GemmTask& t, const Block& block, void* scratch) {
    const int64_t padded = round_up(block.depth, kAmxDepth), stride = padded + 32;
    if (t.a_transposed) {
      transpose_a<From>(t, block, (uint32_t*)scratch, stride / 2);
    } else {
      copy_rows((uint16_t*)scratch, stride, (const From*)t.a + block.m0 * t.a_stride + block.k0, t.a_stride, block.rows,
                block.depth, padded);
    }
    return {(const char*)scratch, 2 * stride, false};
  }

  // Tiles are read whole: a block whose last rows or last k are fewer is copied to where there is room after it. The
  // rows there hold anything, and make only rows of C that are dropped.
  static BlockA prepare_a(const GemmTask& t, const Block& block, void* scratch) {
    if (t.a_f32) return copy_a<float>(t, block, scratch);
    const bool whole = block.rows % kAmxRows == 0 && block.depth % kAmxDepth == 0;
    if (t.a_transposed || !whole || bad_stride(2 * t.a_stride)) return copy_a<uint16_t>(t, block, scratch);
    return {(const char*)((const uint16_t*)t.a + block.m0 * t.a_stride + block.k0), 2 * t.a_stride, false};
  }

  static int64_t width(const GemmTask&, int64_t, int64_t) { return kColumns; }

  static void multiply(const BlockA& a, const BlockB& b, const Block& block, int64_t rows, int64_t, float* c,
                       int64_t c_stride, bool add_to_c) {
    for (int64_t r = 0; r < rows; r += kAmxRows) {
      const char* from = a.data + r * a.stride_bytes;
      float* to = c + r * c_stride;
      const int64_t height = lesser(kAmxRows, rows - r);
      if (height == kAmxRows) {
        amx_tile<Tiles, 32>(from, a.stride_bytes, b.data, to, c_stride, block.depth, add_to_c);
        continue;
      }
      alignas(64) float edge[kAmxRows * 32];
      if (add_to_c) copy_rows(edge, 32, to, c_stride, height, 32, 32);
      (height > 16 ? amx_tile<Tiles, 32> : amx_tile<Tiles, 16>)(from, a.stride_bytes, b.data, edge, 32, block.depth,
                                                                add_to_c);
      copy_rows(to, c_stride, edge, 32, height, 32, 32);
    }
  }
};

#if defined(__AMX_BF16__) || defined(__AMXBF16__)
constexpr GemmKernels kGemmAmx = make_gemm_kernels<AmxEngine<HardwareTiles>>(amx_register_loop);
#else
constexpr GemmKernels kGemmAmxEmulated = make_gemm_kernels<AmxEngine<EmulatedTiles>>(register_loop<MultiplyF32>);
#endif

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
