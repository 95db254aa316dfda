// Which set of vector instructions the kernels of this process use.
//
// The kernels are one source (gemm_kernels.h, row_kernels.h, attention_kernels.h), compiled once for each set with its
// own compiler flags (isa/*.cpp) and reached through tables of functions (kernels.h).
#pragma once
#include <string_view>

namespace tenth::cpu {

enum class Isa { kGeneric, kAvx2, kAvx512, kAvx512Bf16, kAmx };
inline constexpr Isa kIsas[] = {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};

std::string_view name_of(Isa isa);  // "generic", "avx2", "avx512", "avx512bf16", "amx": the values of TENTH_CPU

// The processor has it, and the operating system keeps its registers. kGeneric: always.
bool isa_available(Isa isa);

// The set in use, fixed at the first call: TENTH_CPU where it is set, else the best one of this machine. Throws kInput
// for an unknown name and kUnsupported for a set that this machine lacks.
//
// "Best" among avx512 and avx512bf16 is measured: processors differ in whether the bf16 dot product is faster than
// widening to float32 (Zen 5: twice as fast; Sapphire Rapids: half as fast). The two round differently, so the choice
// must be the same in every run. It is: the ratio of the two rates is a property of the processor, a power of two, and
// the border between them (kDotProductBorder in isa.cpp) lies between 1/2 and 1, far from both.
Isa active_isa();

// What active_isa() would be for a value of TENTH_CPU; empty: the automatic choice.
Isa choose_isa(std::string_view name);

}  // namespace tenth::cpu
