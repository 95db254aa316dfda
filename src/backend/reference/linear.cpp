// Matrix products: plain, grouped by expert, and the embedding (a product with one-hot rows).
#include "backend/reference/reference_backend.h"

namespace tenth::reference {
namespace {

// Rows [begin, end) of x go through one weight matrix w (O, I).
struct Group {
  int64_t begin, end;
  Tensor w;
};

std::vector<Group> groups_of(const Tensor& w, int64_t rows, const Tensor& offsets) {
  if (!offsets) return {{0, rows, w}};
  View offset(offsets);
  std::vector<Group> groups;
  for (int64_t e = 0; e < w.dim(0); e++) groups.push_back({int64_t(offset(e)), int64_t(offset(e + 1)), w[e]});
  return groups;
}

}  // namespace

Tensor ReferenceBackend::pack_weight(const Tensor&) { return {}; }

// y_no = bias_o + sum_i x_ni w_oi
void ReferenceBackend::linear_forward(const Tensor& y_, const Tensor& x_, const Tensor& w_, const Tensor&,
                                      const Tensor& bias_, const Tensor& offsets) {
  View y(y_), bias(bias_);
  Array x = load(x_);
  for (const Group& group : groups_of(w_, x_.dim(0), offsets)) {
    Array w = load(group.w);
    for (int64_t n = group.begin; n < group.end; n++)
      for (int64_t o = 0; o < y_.dim(1); o++) {
        double sum = 0;
        for (int64_t i = 0; i < x_.dim(1); i++) sum += x(n, i) * w(o, i);
        y(n, o) = bias ? sum + bias(o) : sum;
      }
  }
}

// dx_ni = sum_o dy_no w_oi
void ReferenceBackend::linear_backward_input(const Tensor& dx_, const Tensor& dy_, const Tensor& w_,
                                             const Tensor& offsets, bool assign) {
  View dx(dx_);
  Array dy = load(dy_);
  for (const Group& group : groups_of(w_, dx_.dim(0), offsets)) {
    Array w = load(group.w);
    for (int64_t n = group.begin; n < group.end; n++)
      for (int64_t i = 0; i < dx_.dim(1); i++) {
        double sum = 0;
        for (int64_t o = 0; o < dy_.dim(1); o++) sum += dy(n, o) * w(o, i);
        dx(n, i) = (assign ? 0 : double(dx(n, i))) + sum;
      }
  }
}

// dw_oi (+)= sum_n dy_no x_ni;  dbias_o += sum_n dy_no
void ReferenceBackend::linear_backward_weight(const Tensor& dw_, const Tensor& dbias_, const Tensor& dy_,
                                              const Tensor& x_, const Tensor& offsets, bool assign) {
  View dbias(dbias_);
  Array dy = load(dy_), x = load(x_);
  for (const Group& group : groups_of(dw_, x_.dim(0), offsets)) {
    View dw(group.w);
    for (int64_t o = 0; o < dy_.dim(1); o++)
      for (int64_t i = 0; i < x_.dim(1); i++) {
        double sum = 0;
        for (int64_t n = group.begin; n < group.end; n++) sum += dy(n, o) * x(n, i);
        dw(o, i) = assign ? sum : dw(o, i) + sum;
      }
  }
  if (!dbias) return;
  for (int64_t o = 0; o < dy_.dim(1); o++) {
    double sum = 0;
    for (int64_t n = 0; n < dy_.dim(0); n++) sum += dy(n, o);
    dbias(o) += sum;
  }
}

// c_mn = alpha sum_k a_mk b_kn + beta add_mn
void ReferenceBackend::matmul(const Tensor& c_, const Tensor& a_, bool transpose_a, const Tensor& b_, bool transpose_b,
                              const MatmulArgs& args) {
  View c(c_), add(args.add);
  Array a = load(a_), b = load(b_);
  const int64_t inner = a_.dim(transpose_a ? 0 : 1);
  for (int64_t m = 0; m < c_.dim(0); m++)
    for (int64_t n = 0; n < c_.dim(1); n++) {
      double sum = 0;
      for (int64_t k = 0; k < inner; k++) sum += (transpose_a ? a(k, m) : a(m, k)) * (transpose_b ? b(n, k) : b(k, n));
      c(m, n) = args.alpha * sum + (add ? args.beta * add(m, n) : 0);
    }
}

// y_n = w_{ids n}
void ReferenceBackend::embedding_forward(const Tensor& y_, const Tensor& ids_, const Tensor& w_) {
  View y(y_), ids(ids_), w(w_);
  for (int64_t n = 0; n < y_.dim(0); n++)
    for (int64_t d = 0; d < y_.dim(1); d++) y(n, d) = w(int64_t(ids(n)), d);
}

// dw_v += sum of dy_n over the n with ids_n = v
void ReferenceBackend::embedding_backward(const Tensor& dw_, const Tensor& dy_, const Tensor& ids_) {
  View dw(dw_), dy(dy_), ids(ids_);
  Array sum(dw_.dim(0), dw_.dim(1));
  for (int64_t n = 0; n < dy_.dim(0); n++)
    for (int64_t d = 0; d < dy_.dim(1); d++) sum(int64_t(ids(n)), d) += dy(n, d);
  for (int64_t v = 0; v < dw_.dim(0); v++)
    for (int64_t d = 0; d < dw_.dim(1); d++) dw(v, d) += sum(v, d);
}

}  // namespace tenth::reference
