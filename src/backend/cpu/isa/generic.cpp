// The kernels for generic (the compiler flags are in CMakeLists.txt).
#define TENTH_ISA generic
#define TENTH_VEC_WIDTH 4
#include "backend/cpu/attention_kernels.h"
#include "backend/cpu/block_kernels.h"
#include "backend/cpu/fp8_kernels.h"
#include "backend/cpu/gemm_amx.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/row_kernels.h"

namespace tenth::cpu {

const GemmKernels kGemmF32Generic = generic::kGemmF32;
const GemmKernels kGemmWidenedGeneric = generic::kGemmWidened;
const GemmKernels kGemmBf16AmxEmulated = generic::kGemmAmxEmulated;
const RowKernels kRowsGeneric = generic::kRowKernels;
const AttentionKernels kAttentionGeneric = generic::kAttentionKernels;
const Fp8Kernels kFp8Generic = generic::kFp8Kernels;
const BlockKernels kBlocksGeneric = generic::kBlockKernels;
const KernelTable kKernelsGeneric = {&kGemmF32Generic,   &kGemmWidenedGeneric, &kRowsGeneric,
                                     &kAttentionGeneric, &kFp8Generic,         &kBlocksGeneric};

}  // namespace tenth::cpu
