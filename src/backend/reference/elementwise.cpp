#include "backend/reference/reference.h"
#include "backend/reference/reference_backend.h"

namespace tenth {

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<reference::ReferenceBackend>(); }

namespace reference {

void ReferenceBackend::fill(const Tensor& y_, double value) {
  View y(y_);
  each(y_.shape(), [&](auto& i) { y(i) = value; });
}

void ReferenceBackend::copy(const Tensor& y_, const Tensor& x_) {
  View y(y_), x(x_);
  each(y_.shape(), [&](auto& i) { y(i) = x(i); });
}

void ReferenceBackend::add(const Tensor& y_, const Tensor& a_, const Tensor& b_) {
  View y(y_), a(a_), b(b_);
  each(y_.shape(), [&](auto& i) { y(i) = a(i) + b(i); });
}

void ReferenceBackend::scale(const Tensor& y_, const Tensor& x_, double factor) {
  View y(y_), x(x_);
  each(y_.shape(), [&](auto& i) { y(i) = x(i) * factor; });
}

double ReferenceBackend::sum_of_squares(const Tensor& x_) {
  View x(x_);
  double sum = 0;
  each(x_.shape(), [&](auto& i) {
    const double value = x(i);
    sum += value * value;
  });
  return sum;
}

}  // namespace reference
}  // namespace tenth
