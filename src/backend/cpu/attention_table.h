// Attention kernels of one instruction set.
#pragma once

namespace tenth::cpu {

struct AttentionKernels {};

}  // namespace tenth::cpu
