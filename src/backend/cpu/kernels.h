// The functions that each instruction set provides, as tables of pointers.
//
// isa/*.cpp are compiled with different -m flags. An inline function that two of them share would be merged by the
// linker, and the surviving copy may hold instructions that the machine lacks. So whatever those files include, this
// header and the tables among it, holds plain structs of pointers and integers: no inline functions, no standard
// containers.
#pragma once
#include "backend/cpu/attention_table.h"
#include "backend/cpu/block_table.h"
#include "backend/cpu/fp8_table.h"
#include "backend/cpu/gemm_table.h"
#include "backend/cpu/row_table.h"

namespace tenth::cpu {

enum class Isa;

struct KernelTable {
  const GemmKernels* gemm_f32;
  const GemmKernels* gemm_bf16;
  const RowKernels* rows;
  const AttentionKernels* attention;
  const Fp8Kernels* fp8;
  const BlockKernels* blocks;
};

extern const KernelTable kKernelsGeneric, kKernelsAvx2, kKernelsAvx512, kKernelsAvx512Bf16, kKernelsAmx;

// The parts that more than one of the above share, or that tests call alone.
extern const GemmKernels kGemmF32Avx512, kGemmBf16Avx512Bf16, kGemmBf16AmxEmulated;
extern const RowKernels kRowsAvx512, kRowsAvx512Bf16;
extern const AttentionKernels kAttentionAvx512, kAttentionAvx512Bf16;
extern const Fp8Kernels kFp8Avx512Bf16;
extern const BlockKernels kBlocksAvx512Bf16;

const KernelTable& kernels_of(Isa isa);  // to be called only if isa_available(isa)
const KernelTable& kernels();            // those of active_isa()

}  // namespace tenth::cpu
