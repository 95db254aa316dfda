// RMSNorm, rotary positions, SwiGLU.
#include <cmath>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {

// r_n = (mean_j x_nj^2 + eps)^(-1/2);  y_nj = x_nj r_n w_j
void ReferenceBackend::rms_norm_forward(const Tensor& y_, const Tensor& rstd_, const Tensor& x_, const Tensor& w_,
                                        double eps) {
  View y(y_), rstd(rstd_), x(x_), w(w_);
  const int64_t width = x_.dim(1);
  for (int64_t n = 0; n < x_.dim(0); n++) {
    double squares = 0;
    for (int64_t j = 0; j < width; j++) squares += x(n, j) * x(n, j);
    const double r = 1 / std::sqrt(squares / double(width) + eps);
    rstd(n) = r;
    for (int64_t j = 0; j < width; j++) y(n, j) = x(n, j) * r * w(j);
  }
}

// With xh_j = x_j r:  dx_j = r (dy_j w_j - xh_j mean_i(dy_i w_i xh_i)) + dresidual_j;  dw_j += sum_n dy_nj xh_nj
void ReferenceBackend::rms_norm_backward(const Tensor& dx_, const Tensor& dw_, const Tensor& dy_,
                                         const Tensor& dresidual_, const Tensor& x_, const Tensor& rstd_,
                                         const Tensor& w_) {
  View dx(dx_), dw(dw_), dy(dy_), dresidual(dresidual_), x(x_), rstd(rstd_), w(w_);
  const int64_t width = x_.dim(1);
  Array gain_gradient(width);
  for (int64_t n = 0; n < x_.dim(0); n++) {
    const double r = rstd(n);
    double mean = 0;
    for (int64_t j = 0; j < width; j++) {
      const double xh = x(n, j) * r;
      mean += dy(n, j) * w(j) * xh / double(width);
      gain_gradient(j) += dy(n, j) * xh;
    }
    for (int64_t j = 0; j < width; j++) {
      const double through = r * (dy(n, j) * w(j) - x(n, j) * r * mean);
      dx(n, j) = dresidual ? through + dresidual(n, j) : through;
    }
  }
  for (int64_t j = 0; j < width; j++) dw(j) += gain_gradient(j);
}

// For the pair (a, b) with the angle t of its position:  a' = a cos t - b sin t;  b' = a sin t + b cos t
void ReferenceBackend::rope(const Tensor& y_, const Tensor& x_, const Tensor& positions_, const Tensor& table_,
                            int64_t first, RopeStyle style, bool inverse) {
  View y(y_), x(x_), positions(positions_), table(table_);
  const int64_t pairs = table_.dim(2);
  for (int64_t n = 0; n < x_.dim(0); n++)
    for (int64_t h = 0; h < x_.dim(1); h++) {
      for (int64_t d = 0; d < x_.dim(2); d++)
        if (d < first || d >= first + 2 * pairs) y(n, h, d) = x(n, h, d);
      for (int64_t i = 0; i < pairs; i++) {
        const int64_t at_a = first + (style == RopeStyle::kAdjacent ? 2 * i : i);
        const int64_t at_b = at_a + (style == RopeStyle::kAdjacent ? 1 : pairs);
        const int64_t p = int64_t(positions(n));
        const double cosine = table(p, 0, i), sine = inverse ? -table(p, 1, i) : table(p, 1, i);
        const double a = x(n, h, at_a), b = x(n, h, at_b);
        y(n, h, at_a) = a * cosine - b * sine;
        y(n, h, at_b) = a * sine + b * cosine;
      }
    }
}

namespace {

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

}  // namespace

// y = silu(g) u,  silu(g) = g sigmoid(g)
void ReferenceBackend::swiglu_forward(const Tensor& y_, const Tensor& gate_up_) {
  View y(y_), gate_up(gate_up_);
  const int64_t f = y_.dim(1);
  for (int64_t n = 0; n < y_.dim(0); n++)
    for (int64_t j = 0; j < f; j++) {
      const double g = gate_up(n, j), u = gate_up(n, f + j);
      y(n, j) = g * sigmoid(g) * u;
    }
}

// du = dy silu(g);  dg = dy u sigmoid(g) (1 + g (1 - sigmoid(g)))
void ReferenceBackend::swiglu_backward(const Tensor& dgate_up_, const Tensor& dy_, const Tensor& gate_up_) {
  View dgate_up(dgate_up_), dy(dy_), gate_up(gate_up_);
  const int64_t f = dy_.dim(1);
  for (int64_t n = 0; n < dy_.dim(0); n++)
    for (int64_t j = 0; j < f; j++) {
      const double g = gate_up(n, j), u = gate_up(n, f + j), s = sigmoid(g), d = dy(n, j);
      dgate_up(n, j) = d * u * s * (1 + g * (1 - s));
      dgate_up(n, f + j) = d * g * s;
    }
}

}  // namespace tenth::reference
