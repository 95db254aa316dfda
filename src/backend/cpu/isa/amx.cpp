// AVX-512 with AMX tiles: only the bf16 matrix products differ from avx512.
#define TENTH_ISA amx
#define TENTH_VEC_WIDTH 16
#include "backend/cpu/gemm_amx.h"
#include "backend/cpu/kernels.h"

namespace tenth::cpu {

extern const GemmKernels kGemmBf16Amx;
const GemmKernels kGemmBf16Amx = amx::kGemmAmx;
const KernelTable kKernelsAmx = {&kGemmF32Avx512,       &kGemmBf16Amx,   &kRowsAvx512Bf16,
                                 &kAttentionAvx512Bf16, &kFp8Avx512Bf16, &kBlocksAvx512Bf16};

}  // namespace tenth::cpu
