// Matrix products of one instruction set. (Filled in by gemm_kernels.h.)
#pragma once
#include <cstdint>

namespace tenth::cpu {

struct GemmKernels {
  // Runs the multiply-add instruction on registers, steps times, and returns the number of operations done: for the
  // peak.
  int64_t (*register_loop)(int64_t steps);
};

}  // namespace tenth::cpu
