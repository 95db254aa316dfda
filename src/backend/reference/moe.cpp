// Tokens to experts and back: the sort by expert, the gather of rows, the weighted sum of what the experts return.
#include "backend/reference/reference_backend.h"

namespace tenth::reference {

void ReferenceBackend::sort_by_expert(const Tensor& row_of_, const Tensor& token_of_, const Tensor& offsets_,
                                      const Tensor& experts_) {
  View row_of(row_of_), token_of(token_of_), offsets(offsets_), experts(experts_);
  int64_t row = 0;
  for (int64_t e = 0; e + 1 < offsets_.dim(0); e++) {
    offsets(e) = double(row);
    for (int64_t n = 0; n < experts_.dim(0); n++)
      for (int64_t k = 0; k < experts_.dim(1); k++) {
        if (int64_t(experts(n, k)) != e) continue;
        token_of(row) = double(n);
        row_of(n, k) = double(row++);
      }
  }
  offsets(offsets_.dim(0) - 1) = double(row);
}

// y_r = x_{rows r}
void ReferenceBackend::gather_rows(const Tensor& y_, const Tensor& x_, const Tensor& rows_) {
  View y(y_), x(x_), rows(rows_);
  for (int64_t r = 0; r < y_.dim(0); r++)
    for (int64_t d = 0; d < y_.dim(1); d++) y(r, d) = x(int64_t(rows(r)), d);
}

// y_n = sum_k weights_nk x_{row_of nk}
void ReferenceBackend::combine_forward(const Tensor& y_, const Tensor& x_, const Tensor& weights_,
                                       const Tensor& row_of_) {
  View y(y_), x(x_), weights(weights_), row_of(row_of_);
  for (int64_t n = 0; n < y_.dim(0); n++)
    for (int64_t d = 0; d < y_.dim(1); d++) {
      double sum = 0;
      for (int64_t k = 0; k < row_of_.dim(1); k++)
        sum += (weights ? double(weights(n, k)) : 1) * x(int64_t(row_of(n, k)), d);
      y(n, d) = sum;
    }
}

// dx_{row_of nk} = weights_nk dy_n;  dweights_nk = dy_n . x_{row_of nk}
void ReferenceBackend::combine_backward(const Tensor& dx_, const Tensor& dweights_, const Tensor& dy_, const Tensor& x_,
                                        const Tensor& weights_, const Tensor& row_of_) {
  View dx(dx_), dweights(dweights_), dy(dy_), x(x_), weights(weights_), row_of(row_of_);
  for (int64_t n = 0; n < dy_.dim(0); n++)
    for (int64_t k = 0; k < row_of_.dim(1); k++) {
      const int64_t row = int64_t(row_of(n, k));
      double dot = 0;
      for (int64_t d = 0; d < dy_.dim(1); d++) {
        if (dweights) dot += dy(n, d) * x(row, d);
        dx(row, d) = (weights ? double(weights(n, k)) : 1) * dy(n, d);
      }
      if (dweights) dweights(n, k) = dot;
    }
}

}  // namespace tenth::reference
