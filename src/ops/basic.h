// Sums, splits and conversions.
#pragma once
#include <vector>

#include "autograd/tape.h"

namespace tenth::ops {

Var add(const Var& a, const Var& b);  // one shape, one type

// Columns of x (N, w0 + w1 + …) as views: (N, w0), (N, w1), … The gradient of x is put together from theirs.
std::vector<Var> split_columns(const Var& x, std::initializer_list<int64_t> widths);

Var concat_columns(const Var& a, const Var& b);  // (N, wa + wb)

Var slice_rows(const Var& x, int64_t begin, int64_t end);  // rows [begin, end) of x (N, D)
Var gather_rows(const Var& x, const Tensor& rows,
                const Tensor& row_of);  // y[r] = x[rows[r]]; row_of (N, K) is its inverse

Var cast(const Var& x, DType dtype);
Var view(const Var& x, Shape shape);  // x contiguous

}  // namespace tenth::ops
