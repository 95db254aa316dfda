// AVX-512 with the bf16 dot product: only the bf16 matrix products differ from avx512.
#define TENTH_ISA avx512bf16
#define TENTH_VEC_WIDTH 16
#include "backend/cpu/gemm_kernels.h"
#include "backend/cpu/kernels.h"

namespace tenth::cpu {

const GemmKernels kGemmBf16Avx512Bf16 = avx512bf16::kGemmPairs;
const KernelTable kKernelsAvx512Bf16 = {&kGemmF32Avx512, &kGemmBf16Avx512Bf16, &kRowsAvx512, &kAttentionAvx512};

}  // namespace tenth::cpu
