// Matrix products, compiled once for each instruction set: include only from isa/*.cpp.
#pragma once
#include "backend/cpu/gemm_table.h"
#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

[[maybe_unused]] int64_t f32_register_loop(int64_t steps) {
  Vec sums[12];
  for (Vec& s : sums) s = broadcast(1);
  const Vec a = broadcast(0.999f), b = broadcast(1e-3f);
  for (int64_t i = 0; i < steps; i++) {
#pragma GCC unroll 12
    for (int j = 0; j < 12; j++) {
      sums[j] = sums[j] * a + b;
      asm volatile("" : "+v"(sums[j]));
    }
  }
  return steps * 12 * kWidth * 2;
}

constexpr GemmKernels kGemmF32 = {f32_register_loop};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
