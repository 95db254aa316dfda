// Products with weights of 8 or 4 bits. Include only from isa/*.cpp.
//
// With weights w = s (c - z) and activations x = t a, both in blocks of 32 (z is 128 or 8, or w = s c + m):
//   y = sum_b s_b t_b (sum_i c_i a_i - z sum_i a_i)        or        sum_b t_b (s_b sum_i c_i a_i + m_b sum_i a_i).
// The sums within a block are of whole numbers: unsigned bytes (codes) times signed ones.
#pragma once
#include <utility>

#include "backend/cpu/block_table.h"
#include "backend/cpu/lanes.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr int kBlockInputs = 32, kPanelOutputs = 16, kVectorsPerPanel = kPanelOutputs / kWidth;
constexpr int kHighInputs = 16;  // the high halves of bytes hold the inputs from here on

// --- vectors of bytes ------------------------------------------------------------------------------------------------
typedef uint8_t Bytes __attribute__((vector_size(4 * kWidth)));
typedef uint8_t UnalignedBytes __attribute__((vector_size(4 * kWidth), aligned(1), may_alias));
TENTH_INLINE Bytes load_bytes(const uint8_t* p) { return *(const UnalignedBytes*)p; }
TENTH_INLINE VecI broadcast_int(int32_t x) { return x - VecI{}; }
TENTH_INLINE Vec to_float(VecI x) { return __builtin_convertvector(x, Vec); }
#if TENTH_VEC_WIDTH == 16
TENTH_INLINE VecI round_to_int(Vec x) { return (VecI)_mm512_maskz_cvtps_epi32(0xffff, x); }  // ties to even
#elif TENTH_VEC_WIDTH == 8
TENTH_INLINE VecI round_to_int(Vec x) { return (VecI)_mm256_cvtps_epi32(x); }
#else
TENTH_INLINE VecI round_to_int(Vec x) { return (VecI)_mm_cvtps_epi32(x); }
#endif

// Each sum plus the dot product of four unsigned bytes with four signed ones. kWide: codes of 8 bits, else of 4.
#if TENTH_VEC_WIDTH == 16 && defined(__AVX512VNNI__)
template <bool kWide>
TENTH_INLINE VecI add_dots(VecI sum, Bytes codes, VecI x) {
  return (VecI)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)x);
}
#elif TENTH_VEC_WIDTH >= 8
#if TENTH_VEC_WIDTH == 16
TENTH_INLINE VecI pairs_of_pairs(Bytes codes, VecI x, VecI factor) {
  return (VecI)_mm512_madd_epi16(_mm512_maddubs_epi16((__m512i)codes, (__m512i)x), (__m512i)factor);
}
#else
TENTH_INLINE VecI pairs_of_pairs(Bytes codes, VecI x, VecI factor) {
  return (VecI)_mm256_madd_epi16(_mm256_maddubs_epi16((__m256i)codes, (__m256i)x), (__m256i)factor);
}
#endif
// The sums of pairs have 16 bits: 2 x 15 x 127 fits, 2 x 255 x 127 does not. Wide codes go by halves.
template <bool kWide>
TENTH_INLINE VecI add_dots(VecI sum, Bytes codes, VecI x) {
  sum += pairs_of_pairs(codes & 15, x, broadcast_int(0x00010001));
  if constexpr (kWide) sum += pairs_of_pairs(codes >> 4, x, broadcast_int(0x00100010));
  return sum;
}
#else
template <bool kWide>
TENTH_INLINE VecI add_dots(VecI sum, Bytes codes, VecI x) {
  int8_t a[4];
  const int32_t four = x[0];
  __builtin_memcpy(a, &four, 4);
  for (int o = 0; o < kWidth; o++)
    for (int j = 0; j < 4; j++) sum[o] += int32_t(codes[4 * o + j]) * a[j];
  return sum;
}
#endif

#if TENTH_VEC_WIDTH == 16
TENTH_INLINE Vec load_halves(const uint16_t* p) {
  return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)p));
}
#elif TENTH_VEC_WIDTH == 8
TENTH_INLINE Vec load_halves(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
#else
TENTH_INLINE Vec load_halves(const uint16_t* p) {
  VecU bits;
  for (int o = 0; o < kWidth; o++) bits[o] = p[o];
  // The bits as a float are the number times 2^-112, subnormals too.
  const VecU sign = (bits & 0x8000) << 16, size = (bits & 0x7fff) << 13;
  const VecU finite = (VecU)((Vec)size * 0x1p112f);
  return (Vec)(sign | ((VecI)size >= 0x0f800000 ? size | 0x70000000 : finite));
}
#endif

// --- one tile --------------------------------------------------------------------------------------------------------
struct BlockTile {
  const BlockTask* task;
  const int8_t* x;  // of the tile's first row
  const float* x_scales;
  const int32_t* x_sums;
  const uint8_t* panel;
  int64_t row, output;
  const uint8_t* next;  // panels to ask for, as they will be wanted next, or null
};

TENTH_INLINE void put(const BlockTask& t, int64_t row, int64_t output, Vec y) {
  const int64_t left = t.outputs - output, at = row * t.y_stride + output;
  if (left <= 0) return;
  if (t.bias) y += left >= kWidth ? load(t.bias + output) : load(t.bias + output, int(left));
  if (t.y_f32) {
    float* to = (float*)t.y + at;
    left >= kWidth ? store(to, y) : store(to, y, int(left));
  } else {
    uint16_t* to = (uint16_t*)t.y + at;
    left >= kWidth ? store(to, y) : store(to, y, int(left));
  }
}

// kRows rows by kVectors vectors of outputs. Vector v is part v % kVectorsPerPanel of panel v / kVectorsPerPanel.
template <BlockForm kForm, int kRows, int kVectors>
void block_tile(const BlockTile& t) {
  const BlockTask& task = *t.task;
  constexpr bool kWide = kForm == BlockForm::kInt8;
  constexpr int kZero = kForm == BlockForm::kInt8 ? 128 : kForm == BlockForm::kInt4 ? 8 : 0;
  constexpr int kCodeBytes = (kWide ? 2 : 1) * kBlockInputs * kPanelOutputs / 2, kStep = 4 * kPanelOutputs;
  constexpr int kSteps = kCodeBytes / kStep;
  const int64_t blocks = task.x.blocks, x_blocks = task.x.steps * blocks, x_stride = x_blocks * kBlockInputs;
  Vec sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) sums[r][v] = zero();
  }
  const uint8_t* scales = t.panel + task.scale_offset;
  // Few rows wait for memory: a part of the next panels is asked for with each block. The processor's own prefetching
  // stops at each page of 4 KiB, and a panel has hardly more than one.
  const int64_t ahead = t.next ? (kVectors / kVectorsPerPanel * task.panel_bytes + x_blocks - 1) / x_blocks : 0;
  const uint8_t* far = t.next;
  for (int64_t i = 0; i < x_blocks; i++) {
    const int64_t b = i < blocks ? i : i - blocks;  // the second step meets the same weights
    const uint8_t* codes = t.panel + b * kCodeBytes;
    for (const uint8_t* end = t.next + (i + 1) * ahead; far < end; far += 64) __builtin_prefetch(far, 0, 2);
    VecI dots[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++) {
      const VecI from = kZero ? broadcast_int(-kZero * t.x_sums[r * x_blocks + i]) : VecI{};
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) dots[r][v] = from;
    }
#pragma GCC unroll 8
    for (int g = 0; g < kSteps; g++) {
      Bytes w[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++)
        w[v] =
            load_bytes(codes + v / kVectorsPerPanel * task.panel_bytes + g * kStep + v % kVectorsPerPanel * 4 * kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const int8_t* a = t.x + r * x_stride + i * kBlockInputs + 4 * g;
        int32_t low, high;
        __builtin_memcpy(&low, a, 4);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++)
          dots[r][v] = add_dots<kWide>(dots[r][v], kWide ? w[v] : w[v] & 15, broadcast_int(low));
        if constexpr (!kWide) {
          __builtin_memcpy(&high, a + kHighInputs, 4);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; v++) dots[r][v] = add_dots<kWide>(dots[r][v], w[v] >> 4, broadcast_int(high));
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      const int64_t at =
          v / kVectorsPerPanel * task.panel_bytes + 2 * (b * kPanelOutputs + v % kVectorsPerPanel * kWidth);
      const Vec scale = load_halves((const uint16_t*)(scales + at));
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const float x_scale = t.x_scales[r * x_blocks + i];
        sums[r][v] = to_float(dots[r][v]) * (scale * x_scale) + sums[r][v];
      }
      if constexpr (kForm == BlockForm::kInt4Min) {
        const Vec least = load_halves((const uint16_t*)(t.panel + task.least_offset + at));
#pragma GCC unroll 16
        for (int r = 0; r < kRows; r++) {
          const float x_sum = t.x_scales[r * x_blocks + i] * float(t.x_sums[r * x_blocks + i]);
          sums[r][v] = least * x_sum + sums[r][v];
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) put(task, t.row + r, t.output + v * kWidth, sums[r][v]);
  }
}

// --- all tiles of a task ---------------------------------------------------------------------------------------------
constexpr int kBlockTileRows = kWidth == 16 ? 6 : 2;
constexpr int kTilePanels = 2;        // side by side, so that a broadcast serves two
constexpr int64_t kRowsOfBlock = 96;  // of activations, which stay in the second-level cache

template <BlockForm kForm, int kPanels, int... I>
constexpr auto block_tiles(std::integer_sequence<int, I...>) {
  struct List {
    void (*of_height[sizeof...(I)])(const BlockTile&);
  };
  return List{{block_tile<kForm, I + 1, kPanels * kVectorsPerPanel>...}};
}

template <BlockForm kForm>
void run_form(const BlockTask& t) {
  using Heights = std::make_integer_sequence<int, kBlockTileRows>;
  static constexpr auto pair = block_tiles<kForm, kTilePanels>(Heights());
  static constexpr auto single = block_tiles<kForm, 1>(Heights());
  const int64_t panels = (t.outputs + kPanelOutputs - 1) / kPanelOutputs, x_blocks = t.x.steps * t.x.blocks;
  for (int64_t r0 = 0; r0 < t.rows; r0 += kRowsOfBlock) {
    const int64_t rows = t.rows - r0 < kRowsOfBlock ? t.rows - r0 : kRowsOfBlock;
    const int64_t tiles = (rows + kBlockTileRows - 1) / kBlockTileRows;
    for (int64_t p = 0; p < panels; p += kTilePanels) {
      const bool both = p + kTilePanels <= panels;
      for (int64_t i = 0; i < tiles; i++) {
        const int64_t r = r0 + rows * i / tiles, height = r0 + rows * (i + 1) / tiles - r;
        const BlockTile tile = {
            &t,
            t.x.codes + r * x_blocks * kBlockInputs,
            t.x.scales + r * x_blocks,
            t.x.sums + r * x_blocks,
            t.panels + p * t.panel_bytes,
            r,
            p * kPanelOutputs,
            i == 0 && p + 2 * kTilePanels <= panels ? t.panels + (p + kTilePanels) * t.panel_bytes : nullptr};
        (both ? pair.of_height : single.of_height)[height - 1](tile);
      }
    }
  }
}

void run_blocks(const BlockTask& t) {
  switch (t.form) {
    case BlockForm::kInt8: return run_form<BlockForm::kInt8>(t);
    case BlockForm::kInt4: return run_form<BlockForm::kInt4>(t);
    case BlockForm::kInt4Min: return run_form<BlockForm::kInt4Min>(t);
  }
}

// --- activations -----------------------------------------------------------------------------------------------------
// code = round(x 127 / amax), ties to even; scale = amax / 127. A block that is not finite gets the scale NaN. The
// second step rounds x - scale code.
template <class T>
void quantize_blocks(const BlockRows& rows, const T* x, int64_t x_stride, int64_t begin, int64_t end) {
  constexpr int kVectors = kBlockInputs / kWidth;
  typedef int8_t Narrow __attribute__((vector_size(kWidth)));
  for (int64_t r = begin; r < end; r++) {
    for (int64_t b = 0; b < rows.blocks; b++) {
      const T* from = x + r * x_stride + b * kBlockInputs;
      Vec values[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) values[v] = load(from + v * kWidth);
      for (int64_t step = 0; step < rows.steps; step++) {
        const int64_t at = (r * rows.steps + step) * rows.blocks + b;
        Vec top = zero(), odd = zero();
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++) {
          top = max(top, max(values[v], -values[v]));
          odd += values[v] - values[v];  // NaN where one is not finite
        }
        const float amax = fold_max(top), scale = amax / 127;
        const float inverse = amax > 0 ? 127 / amax : 0;
        VecI total = {};
        int8_t* to = rows.codes + at * kBlockInputs;
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++) {
          const VecI code = round_to_int(values[v] * inverse);
          total += code;
          const Narrow narrow = __builtin_convertvector(code, Narrow);
          __builtin_memcpy(to + v * kWidth, &narrow, kWidth);
          values[v] = values[v] - to_float(code) * scale;
        }
        const float not_finite = fold_sum(odd);                                    // 0 or NaN
        rows.sums[at] = not_finite == 0 ? int32_t(fold_sum(to_float(total))) : 0;  // at most 32 x 127: exact
        rows.scales[at] = scale + not_finite;
      }
    }
  }
}

const BlockKernels kBlockKernels = {quantize_blocks<float>, quantize_blocks<uint16_t>, run_blocks};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
