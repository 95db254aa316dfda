// Matrix products with weights, and the embedding.
#pragma once
#include "autograd/tape.h"
#include "autograd/weight.h"

namespace tenth::ops {

// y = x w^T + bias.  x (N, I); w (O, I); bias (O) or null; y (N, O) of type out (the type of x, or f32).
Var linear(const Var& x, Weight& w, Weight* bias = nullptr);
// The same, of a result wider than x: a tape that recomputes keeps x and makes y again (MLA's up-projections).
Var expand(const Var& x, Weight& w);
Var linear_to(DType out, const Var& x, Weight& w);

// Rows [offsets[e], offsets[e + 1]) of x (R, I) use w[e] of w (E, O, I).
Var grouped_linear(const Var& x, Weight& w, const Tensor& offsets);

Var embedding(const Tensor& ids, Weight& w, DType type);  // (N) i32, each in [0, V); w (V, D) -> (N, D) of type T

// The product of linear and grouped_linear alone, over whatever form the weight has.
void multiply(const Tensor& y, const Tensor& x, Weight& w, const Tensor& bias, const Tensor& offsets);

}  // namespace tenth::ops
