#include "ops/basic.h"

namespace tenth::ops {

Var add(const Var& a, const Var& b) {
  require(a.value().shape() == b.value().shape(), ErrorKind::kInternal, "[add] shapes {} and {} differ",
          a.value().shape().text(), b.value().shape().text());
  Backend& backend = backend_of(a.value());
  Tensor y = Tensor::make(backend, a.value().dtype(), a.value().shape());
  backend.add(y, a.value(), b.value());
  return record(y, a.needs_gradient() || b.needs_gradient(), [=](const Tensor& dy) {
    a.add_gradient(dy);
    b.add_gradient(dy);
  });
}

std::array<Var, 2> split_columns(const Var& x, int64_t width) {
  const Tensor left = x.value().slice(1, 0, width), right = x.value().slice(1, width, x.value().dim(1));
  Tape* tape = Tape::active();
  if (!tape || !x.needs_gradient()) return {left, right};
  std::array<Var, 2> parts{Var::with_gradient(left), Var::with_gradient(right)};
  tape->record([x, parts, width] {
    Backend& backend = backend_of(x.value());
    Tensor dx = Tensor::make(backend, x.value().dtype(), x.value().shape());
    const Tensor targets[] = {dx.slice(1, 0, width), dx.slice(1, width, dx.dim(1))};
    for (size_t i = 0; i < 2; i++) {
      if (Tensor gradient = parts[i].gradient())
        backend.copy(targets[i], gradient);
      else
        backend.fill(targets[i], 0);
    }
    x.add_gradient(dx);
  });
  return parts;
}

Var concat_columns(const Var& a, const Var& b) {
  Backend& backend = backend_of(a.value());
  const int64_t wa = a.value().dim(1), wb = b.value().dim(1);
  Tensor y = Tensor::make(backend, a.value().dtype(), {a.value().dim(0), wa + wb});
  backend.copy(y.slice(1, 0, wa), a.value());
  backend.copy(y.slice(1, wa, wa + wb), b.value());
  return record(y, a.needs_gradient() || b.needs_gradient(), [=](const Tensor& dy) {
    a.add_gradient(dy.slice(1, 0, wa));
    b.add_gradient(dy.slice(1, wa, wa + wb));
  });
}

Var gather_rows(const Var& x, const Tensor& rows, const Tensor& row_of) {
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, x.value().dtype(), {rows.dim(0), x.value().dim(1)});
  backend.gather_rows(y, x.value(), rows);
  return record(y, x.needs_gradient(), [=](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, x.value().dtype(), x.value().shape());
    backend.combine_forward(dx, dy, Tensor(), row_of);
    x.add_gradient(dx);
  });
}

Var cast(const Var& x, DType dtype) {
  if (x.value().dtype() == dtype) return x;
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, dtype, x.value().shape());
  backend.copy(y, x.value());
  return record(y, x.needs_gradient(), [=](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, x.value().dtype(), x.value().shape());
    backend.copy(dx, dy);
    x.add_gradient(dx);
  });
}

Var view(const Var& x, Shape shape) {
  const Shape before = x.value().shape();
  return record(x.value().view(shape), x.needs_gradient(), [=](const Tensor& dy) { x.add_gradient(dy.view(before)); });
}

}  // namespace tenth::ops
