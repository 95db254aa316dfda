// Tokens to experts and back: the sort by expert, and the weighted sum of what the experts return.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {

using namespace cpu;

// Counting sort. offsets first counts the choices of e in offsets[e + 1], then holds where the next one of e goes.
void CpuBackend::sort_by_expert(const Tensor& row_of, const Tensor& token_of, const Tensor& offsets,
                                const Tensor& experts) {
  const int64_t choices = experts.dim(1), rows = experts.dim(0) * choices, count = offsets.dim(0) - 1;
  const int32_t* expert = experts.data<int32_t>();
  int32_t *row = row_of.data<int32_t>(), *token = token_of.data<int32_t>(), *offset = offsets.data<int32_t>();
  std::fill_n(offset, count + 1, 0);
  for (int64_t i = 0; i < rows; i++) {
    require(expert[i] >= 0 && expert[i] < count, ErrorKind::kInternal, "[sort_by_expert] expert {} of {}", expert[i],
            count);
    offset[expert[i] + 1]++;
  }
  for (int64_t e = 0; e < count; e++) offset[e + 1] += offset[e];
  for (int64_t n = 0, i = 0; n < experts.dim(0); n++)
    for (int64_t k = 0; k < choices; k++, i++) {
      row[i] = offset[expert[i]]++;
      token[row[i]] = int32_t(n);
    }
  for (int64_t e = count; e > 0; e--) offset[e] = offset[e - 1];
  offset[0] = 0;
}

void CpuBackend::combine_forward(const Tensor& y, const Tensor& x, const Tensor& weights, const Tensor& row_of) {
  with_type(y, "combine", [&]<class T>(T) {
    const CombineTask<T> task = {.width = y.dim(1),
                                 .choices = row_of.dim(1),
                                 .y = data_of<T>(y),
                                 .x = data_of<T>(x),
                                 .weights = data_of<float>(weights),
                                 .row_of = row_of.data<int32_t>(),
                                 .y_row = y.stride(0),
                                 .x_row = x.stride(0)};
    parallel_for(y.dim(0), row_grain(task.width, task.choices),
                 [&](int64_t begin, int64_t end) { pick<T>(*kernels().rows).combine(task, begin, end); });
  });
}

void CpuBackend::combine_backward(const Tensor& dx, const Tensor& dweights, const Tensor& dy, const Tensor& x,
                                  const Tensor& weights, const Tensor& row_of) {
  with_type(dy, "combine", [&]<class T>(T) {
    const CombineGradTask<T> task = {.width = dy.dim(1),
                                     .choices = row_of.dim(1),
                                     .dx = data_of<T>(dx),
                                     .dweights = data_of<float>(dweights),
                                     .dy = data_of<T>(dy),
                                     .x = data_of<T>(x),
                                     .weights = data_of<float>(weights),
                                     .row_of = row_of.data<int32_t>(),
                                     .dx_row = dx.stride(0),
                                     .dy_row = dy.stride(0),
                                     .x_row = x.defined() ? x.stride(0) : 0};
    parallel_for(dy.dim(0), row_grain(task.width, 2 * task.choices),
                 [&](int64_t begin, int64_t end) { pick<T>(*kernels().rows).combine_grad(task, begin, end); });
  });
}

}  // namespace tenth
