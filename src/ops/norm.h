// RMSNorm, alone and behind a residual sum; rotary positions; SwiGLU.
#pragma once
#include "autograd/tape.h"
#include "autograd/weight.h"

namespace tenth::ops {

Var rms_norm(const Var& x, Weight& w, double eps);  // x (N, D), w (D)

struct ResidualNorm {
  Var sum;     // x + delta: the residual stream
  Var normed;  // rms_norm(sum)
};
ResidualNorm add_rms_norm(const Var& x, const Var& delta, Weight& w, double eps);

// See Backend::rope. x (N, H, d), or (N, d): one head.
Var rope(const Var& x, const Tensor& positions, const Tensor& table, int64_t first, RopeStyle style);

Var swiglu(const Var& gate_up);  // (N, 2 f) -> (N, f)

}  // namespace tenth::ops
