// AVX-512 with the bf16 dot product and its rounding to bf16.
#define TENTH_ISA avx512bf16
#define TENTH_VEC_WIDTH 16
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/fp8_kernels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/row_kernels.h"

namespace tenth::cpu {

const GemmKernels kGemmBf16Avx512Bf16 = avx512bf16::kGemmPairs;
const RowKernels kRowsAvx512Bf16 = avx512bf16::kRowKernels;
const AttentionKernels kAttentionAvx512Bf16 = avx512bf16::kAttentionKernels;
const Fp8Kernels kFp8Avx512Bf16 = avx512bf16::kFp8Kernels;
const BlockKernels kBlocksAvx512Bf16 = avx512bf16::kBlockKernels;
const KernelTable kKernelsAvx512Bf16 = {&kGemmF32Avx512,       &kGemmBf16Avx512Bf16, &kRowsAvx512Bf16,
                                        &kAttentionAvx512Bf16, &kFp8Avx512Bf16,      &kBlocksAvx512Bf16};

}  // namespace tenth::cpu
