// Matrix products, compiled once for each instruction set: include only from isa/*.cpp.
//
// Three storeys. A tile (gemm_tile.h) keeps a block of C in registers while it runs over k. An engine (gemm_engines.h,
// gemm_amx.h) brings blocks of A and B into the order that its tiles read. run_gemm() below cuts a task into blocks
// that fit the caches: kBlockK of k and kBlockM rows (a panel of B and a block of A stay in L1 and L2). After kBlockK
// steps the float32 sums go to memory and come back unchanged, so that the blocks leave no trace in the result.
#pragma once
#include <type_traits>

#include "backend/cpu/gemm_engines.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t kScratchA = 4 * greater(kBlockM * (kBlockK + 32), kBlockTiles*(kBlockK* kStepPitch + 16));
constexpr int64_t kScratchB = 4 * kBlockK * 32, kScratchC = 4 * kBlockM * kBlockN;

// What the sums of a block begin with: the bias, the old C, or nothing (then false, and c is not written).
template <class Engine>
bool begin_sums(const GemmTask& t, const Block& block, int64_t n0, int64_t n, float* c, int64_t c_stride,
                bool in_place) {
  const int64_t padded = round_up(n, Engine::kColumnStep);
  if (t.bias) {
    copy_rows(c, c_stride, t.bias + n0, 0, block.rows, n, padded);
  } else if (t.accumulate && !in_place) {
    copy_rows(c, c_stride, (const float*)t.c + block.m0 * t.c_stride + n0, t.c_stride, block.rows, n, padded);
  }
  return t.bias || t.accumulate;
}

TENTH_INLINE void store_sums(const GemmTask& t, const Block& block, int64_t n0, int64_t n, const float* sums,
                             int64_t sums_stride) {
  const int64_t at = block.m0 * t.c_stride + n0;
  if (t.c_f32)
    copy_rows((float*)t.c + at, t.c_stride, sums, sums_stride, block.rows, n, n);
  else
    copy_rows((uint16_t*)t.c + at, t.c_stride, sums, sums_stride, block.rows, n, n);
}

// C = alpha C + beta add of a block's columns.
template <class T>
void scale_and_add(const GemmTask& t, const Block& block, int64_t n0, int64_t n, float* c, int64_t c_stride) {
  const Vec alpha = broadcast(t.alpha), beta = broadcast(t.beta);
  for (int64_t r = 0; r < block.rows; r++) {
    const T* from = (const T*)t.add + (block.m0 + r) * t.add_stride + n0;
    float* to = c + r * c_stride;
    for (int64_t j = 0; j < n; j += kWidth) {
      const int count = lanes_left(n - j);
      store(to + j, alpha * load(to + j, count) + beta * load(from + j, count), count);
    }
  }
}

// A block as it is for one panel of columns: in a symmetric C without what lies below the panel's part of the diagonal.
TENTH_INLINE Block above_diagonal(const GemmTask& t, Block block, int64_t last_column) {
  if (t.symmetric) block.rows = lesser(block.rows, last_column + t.diagonal - block.m0);
  return block;
}

// Columns [n_begin, n_end) of the rows of a block, for one block of k. Whole vectors of a float32 C are summed in
// place, others in scratch, where those of several blocks of k need a place each.
template <class Engine>
void run_block(const GemmTask& t, const Block& whole, int64_t n_begin, int64_t n_end, char* scratch) {
  const bool first = whole.k0 == 0, last = whole.k0 + whole.depth == t.k, only = first && last;
  float* scratch_c = (float*)(scratch + kScratchA + kScratchB);
  const BlockA a = Engine::prepare_a(t, whole, scratch);
  for (int64_t n0 = n_begin, width = 0; n0 < n_end; n0 += width) {
    width = Engine::width(t, whole.rows, n_end - n0);
    const int64_t n = lesser(width, n_end - n0);
    const Block block = above_diagonal(t, whole, n0 + n);
    if (block.rows <= 0) continue;
    const BlockB b = Engine::prepare_b(t, block, n0, n, scratch + kScratchA);
    const bool in_place = t.c_f32 && n % Engine::kColumnStep == 0;
    float* c =
        in_place ? (float*)t.c + block.m0 * t.c_stride + n0 : scratch_c + (only ? 0 : (n0 - n_begin) * whole.rows);
    const int64_t c_stride = in_place ? t.c_stride : width;
    const bool add_to_c = first ? begin_sums<Engine>(t, block, n0, n, c, c_stride, in_place) : true;
    Engine::multiply(a, b, whole, block.rows, n, c, c_stride, add_to_c);
    if (last && t.add) {
      using T = std::conditional_t<Engine::kElementBytes == 4, float, uint16_t>;
      scale_and_add<T>(t, block, n0, n, c, c_stride);
    }
    if (last && !in_place) store_sums(t, block, n0, n, c, c_stride);
  }
}

template <class Engine>
void run_gemm(const GemmTask& t, void* scratch) {
  [[maybe_unused]] typename Engine::Session session;
  for (int64_t n0 = 0; n0 < t.n; n0 += kBlockN) {
    for (int64_t m0 = 0; m0 < t.m; m0 += kBlockM) {
      int64_t k0 = 0;
      do {  // once even for k = 0: C becomes the bias or 0
        const Block block = {m0, lesser(kBlockM, t.m - m0), k0, lesser(kBlockK, t.k - k0)};
        run_block<Engine>(t, block, n0, lesser(n0 + kBlockN, t.n), (char*)scratch);
        k0 += kBlockK;
      } while (k0 < t.k);
    }
  }
}

// What lies below the diagonal's panels is the transpose of what lies above.
template <class Engine, class T>
void mirror_as(const GemmTask& t) {
  T* c = (T*)t.c;
  for (int64_t n0 = Engine::kColumns; n0 < t.n; n0 += Engine::kColumns) {
    transpose_copy(c + n0 * t.c_stride, t.c_stride, c + n0, t.c_stride * int64_t(sizeof(T)), n0,
                   lesser(Engine::kColumns, t.n - n0), n0);
  }
}
template <class Engine>
void mirror(const GemmTask& t) {
  t.c_f32 ? mirror_as<Engine, float>(t) : mirror_as<Engine, uint16_t>(t);
}

// Twelve chains of multiply-adds hide the latency of each.
template <class Multiply>
int64_t register_loop(int64_t steps) {
  Vec sums[12], b = broadcast(0.5f);
#pragma GCC unroll 12
  for (int j = 0; j < 12; j++) sums[j] = zero();
  asm volatile("" : "+v"(b));
  for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      sums[j] = Multiply::add(0.5f, b, sums[j]);
      asm volatile("" : "+v"(sums[j]));
    }
  }
  return steps * 12 * kWidth * 2;
}
#ifdef __AVX512BF16__
int64_t pair_register_loop(int64_t steps) { return 2 * register_loop<MultiplyPairs>(steps); }
#endif

template <class Engine>
constexpr GemmKernels make_gemm_kernels(int64_t (*loop)(int64_t)) {
  return {.rows = Engine::kRows,
          .panel = Engine::kColumns,
          .k_multiple = Engine::kMultiple,
          .element_bytes = Engine::kElementBytes,
          .scratch_bytes = kScratchA + kScratchB + kScratchC,
          .pack = Engine::pack,
          .run = run_gemm<Engine>,
          .mirror = mirror<Engine>,
          .register_loop = loop};
}

[[maybe_unused]] constexpr GemmKernels kGemmF32 =
    make_gemm_kernels<FloatEngine<float, MultiplyF32>>(register_loop<MultiplyF32>);
[[maybe_unused]] constexpr GemmKernels kGemmWidened =
    make_gemm_kernels<FloatEngine<uint16_t, MultiplyWidened>>(register_loop<MultiplyF32>);
#ifdef __AVX512BF16__
[[maybe_unused]] constexpr GemmKernels kGemmPairs = make_gemm_kernels<PairEngine>(pair_register_loop);
#endif

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
