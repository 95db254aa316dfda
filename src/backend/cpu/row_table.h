// Norms, activations, softmax and other row-wise kernels of one instruction set.
#pragma once

namespace tenth::cpu {

struct RowKernels {};

}  // namespace tenth::cpu
