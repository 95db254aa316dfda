// The kernels for avx512 (the compiler flags are in CMakeLists.txt).
#define TENTH_ISA avx512
#define TENTH_VEC_WIDTH 16
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/fp8_kernels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/row_kernels.h"

namespace tenth::cpu {

const GemmKernels kGemmF32Avx512 = avx512::kGemmF32;
const GemmKernels kGemmWidenedAvx512 = avx512::kGemmWidened;
const RowKernels kRowsAvx512 = avx512::kRowKernels;
const AttentionKernels kAttentionAvx512 = avx512::kAttentionKernels;
const Fp8Kernels kFp8Avx512 = avx512::kFp8Kernels;
const BlockKernels kBlocksAvx512 = avx512::kBlockKernels;
const KernelTable kKernelsAvx512 = {&kGemmF32Avx512,   &kGemmWidenedAvx512, &kRowsAvx512,
                                    &kAttentionAvx512, &kFp8Avx512,         &kBlocksAvx512};

}  // namespace tenth::cpu
