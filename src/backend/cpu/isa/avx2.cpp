// The kernels for avx2 (the compiler flags are in CMakeLists.txt).
#define TENTH_ISA avx2
#define TENTH_VEC_WIDTH 8
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/fp8_kernels.h"
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/row_kernels.h"

namespace tenth::cpu {

const GemmKernels kGemmF32Avx2 = avx2::kGemmF32;
const GemmKernels kGemmWidenedAvx2 = avx2::kGemmWidened;
const RowKernels kRowsAvx2 = avx2::kRowKernels;
const AttentionKernels kAttentionAvx2 = avx2::kAttentionKernels;
const Fp8Kernels kFp8Avx2 = avx2::kFp8Kernels;
const BlockKernels kBlocksAvx2 = avx2::kBlockKernels;
const KernelTable kKernelsAvx2 = {&kGemmF32Avx2,   &kGemmWidenedAvx2, &kRowsAvx2,
                                  &kAttentionAvx2, &kFp8Avx2,         &kBlocksAvx2};

}  // namespace tenth::cpu
