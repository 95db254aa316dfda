// The linear of DeepSeek's FP8 recipe (V3 report, section 3.3), emulated: the factors of all three products are rounded
// to e4m3 with a scale a tile, and the products are those of the rounded values, summed in f32.
#pragma once
#include "autograd/tape.h"
#include "autograd/weight.h"

namespace tenth::ops {

// y = X W^T     X in tiles of 1 x 128 along its channels, W in blocks of 128 x 128
// dX = dY W     dY in tiles of 1 x 128, the same W
// dW = dY^T X   both in tiles of 128 x 1 along the tokens (an expert's tokens: tiles never cross from one to the next),
//               X from its FP8 copy of the forward pass, which is all that is kept of it (section 3.5.2)
// Arguments as in ops/linear.h, of a weight with w.fp8. A bias's gradient sums the rounded dY.
// Not emulated: E5M6 for what is kept of the linear after attention, and the 14 bits in which Hopper's tensor cores sum
// before the promotion to f32.
Var fp8_linear(const Var& x, Weight& w, Weight* bias, const Tensor& offsets);

}  // namespace tenth::ops
