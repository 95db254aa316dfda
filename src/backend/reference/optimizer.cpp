#include <cmath>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {

// g = grad_scale g;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  mh = m / (1 - b1^step), vh = v / (1 - b2^step)
// p -= lr (mh / (sqrt(vh) + eps) + weight_decay p)          (Loshchilov and Hutter, arXiv 1711.05101)
void ReferenceBackend::adamw_step(const Tensor& p_, const Tensor& m_, const Tensor& v_, const Tensor& g_,
                                  const AdamWArgs& args) {
  View p(p_), m(m_), v(v_), g(g_);
  const double bias1 = 1 - std::pow(args.beta1, double(args.step)), bias2 = 1 - std::pow(args.beta2, double(args.step));
  each(p_.shape(), [&](auto& i) {
    const double gradient = args.grad_scale * g(i);
    const double first = args.beta1 * m(i) + (1 - args.beta1) * gradient;
    const double second = args.beta2 * v(i) + (1 - args.beta2) * gradient * gradient;
    const bool decays = !args.cautious || first * p(i) >= 0;
    m(i) = first;
    v(i) = second;
    p(i) +=
        -args.lr * (first / bias1 / (std::sqrt(second / bias2) + args.eps) + (decays ? args.weight_decay * p(i) : 0));
  });
}

// y -= share y where x y >= 0
void ReferenceBackend::decay_where_aligned(const Tensor& y_, const Tensor& x_, double share) {
  View y(y_), x(x_);
  each(y_.shape(), [&](auto& i) {
    if (x(i) * y(i) >= 0) y(i) += -share * y(i);
  });
}

// y = a x + b y
void ReferenceBackend::axpby(const Tensor& y_, double a, const Tensor& x_, double b) {
  View y(y_), x(x_);
  each(y_.shape(), [&](auto& i) { y(i) = a * x(i) + b * y(i); });
}

}  // namespace tenth::reference
