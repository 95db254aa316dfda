// Matrix products of one instruction set and one element type.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tenth::cpu {

// Where element (k, n) of the second matrix lies.
enum class GemmLayout {
  kPanels,   // packed: panels of `panel` columns, one after the other; within one, what pack() writes
  kRows,     // b[k * b_stride + n]
  kColumns,  // b[n * b_stride + k]
};

// C (m, n) = A (m, k) B (k, n), the work of one thread. Strides are in elements.
//
// Element (i, j) of C is one chain of sums over k, from k = 0 upwards (a bf16 dot product takes 2 or 32 at a time), and
// begins at the old value, the bias or 0. Neither m, n nor how a caller cuts C into tasks changes it.
struct GemmTask {
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;  // element (i, k) at a[i * a_stride + k], or a[k * a_stride + i] if a_transposed
  int64_t a_stride = 0;
  bool a_transposed = false;
  bool a_f32 = false;  // else bf16. A float32 A of a bf16 product is rounded to bf16, or kept where the kernel computes
                       // in float32
  const void* b = nullptr;  // the table's element type
  int64_t b_stride = 0;
  GemmLayout b_layout = GemmLayout::kRows;
  void* c = nullptr;
  int64_t c_stride = 0;
  bool c_f32 = false;           // else bf16
  bool accumulate = false;      // C += A B; only with c_f32
  const float* bias = nullptr;  // (n) or null; not with accumulate
  // C = alpha A B + beta add, once the sums are whole; add is of the table's element type. Null: C = A B.
  const void* add = nullptr;
  int64_t add_stride = 0;
  float alpha = 1, beta = 1;
  // C is symmetric: of each panel of columns only the rows down to its own last column are made; mirror() does the
  // rest. diagonal: column minus row of element (0, 0) in the whole C.
  bool symmetric = false;
  int64_t diagonal = 0;
};

struct GemmKernels {
  int rows;               // of C in one register tile
  int panel;              // columns of C in one register tile
  int k_multiple;         // panels hold k rounded up to this, filled with zeros
  int element_bytes;      // of B
  int64_t scratch_bytes;  // that run() needs, aligned to 64
  // Writes columns [0, n), n <= panel, of b (kRows or kColumns) as one panel; columns beyond n become 0.
  void (*pack)(void* panel, const void* b, int64_t b_stride, GemmLayout layout, int64_t k, int64_t n);
  void (*run)(const GemmTask& task, void* scratch);
  void (*mirror)(const GemmTask& task);  // the whole C of a symmetric task
  // Runs the multiply-add instruction on registers, steps times, and returns the number of operations: for the peak.
  int64_t (*register_loop)(int64_t steps);
};

}  // namespace tenth::cpu
