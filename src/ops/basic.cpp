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

std::vector<Var> split_columns(const Var& x, std::initializer_list<int64_t> widths) {
  const bool wanted = Tape::active() && x.needs_gradient();
  std::vector<Var> parts;
  int64_t column = 0;
  for (int64_t width : widths) {
    Tensor part = x.value().slice(1, column, column + width);
    parts.push_back(wanted ? Var::with_gradient(part) : Var(part));
    column += width;
  }
  require(column == x.value().dim(1), ErrorKind::kInternal,
          "[split_columns] widths sum to {}, the tensor has {} columns", column, x.value().dim(1));
  if (wanted) {
    Tape::active()->record([x, parts] {
      Backend& backend = backend_of(x.value());
      Tensor dx = Tensor::make(backend, x.value().dtype(), x.value().shape());
      int64_t column = 0;
      for (const Var& part : parts) {
        const int64_t width = part.value().dim(1);
        Tensor target = dx.slice(1, column, column + width);
        if (Tensor gradient = part.gradient())
          backend.copy(target, gradient);
        else
          backend.fill(target, 0);
        column += width;
      }
      x.add_gradient(dx);
    });
  }
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

Var slice_rows(const Var& x, int64_t begin, int64_t end) {
  return record(x.value().slice(0, begin, end), x.needs_gradient(), [=](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, x.value().dtype(), x.value().shape());
    backend.fill(dx.slice(0, 0, begin), 0);
    backend.copy(dx.slice(0, begin, end), dy);
    backend.fill(dx.slice(0, end, dx.dim(0)), 0);
    x.add_gradient(dx);
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
