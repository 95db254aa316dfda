// Sums, splits and conversions.
#pragma once
#include <array>

#include "autograd/tape.h"

namespace tenth::ops {

Var add(const Var& a, const Var& b);  // one shape, one type

// Columns [0, width) and [width, end) of x (N, D) as views. The gradient of x is put together from theirs.
std::array<Var, 2> split_columns(const Var& x, int64_t width);

Var concat_columns(const Var& a, const Var& b);  // (N, wa + wb)

Var gather_rows(const Var& x, const Tensor& rows,
                const Tensor& row_of);  // y[r] = x[rows[r]]; row_of (N, K) is its inverse

Var cast(const Var& x, DType dtype);
Var view(const Var& x, Shape shape);  // x contiguous

}  // namespace tenth::ops
