#include "ops/basic.h"

namespace tenth::ops {

Var add(const Var& a, const Var& b) {
  if (!(a.value().shape() == b.value().shape()))
    fail(ErrorKind::kInternal, "[add] shapes {} and {} differ", a.value().shape().text(), b.value().shape().text());
  Backend& backend = backend_of(a.value());
  Tensor y = Tensor::make(backend, a.value().dtype(), a.value().shape());
  backend.add(y, a.value(), b.value());
  return record(y, a.needs_gradient() || b.needs_gradient(),
                [a = a.without_value(), b = b.without_value()](const Tensor& dy) {
                  a.add_gradient(dy);
                  b.add_gradient(dy);
                });
}

std::array<Var, 2> split_columns(const Var& x, int64_t width) {
  const Tensor left = x.value().slice(1, 0, width), right = x.value().slice(1, width, x.value().dim(1));
  Tape* tape = Tape::active();
  if (!tape || !x.needs_gradient()) return {left, right};
  std::array<Var, 2> parts{Var::with_gradient(left), Var::with_gradient(right)};
  const auto part = [&](size_t i) { return parts[i].without_value(); };
  tape->record([x = x.without_value(), parts = std::array{part(0), part(1)}, width, like = x.value().shape(),
                dtype = x.value().dtype(), &backend = backend_of(x.value())] {
    Tensor dx = Tensor::make(backend, dtype, like);
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
  Var joined = record(y, a.needs_gradient() || b.needs_gradient(),
                      [=, a = a.without_value(), b = b.without_value()](const Tensor& dy) {
                        a.add_gradient(dy.slice(1, 0, wa));
                        b.add_gradient(dy.slice(1, wa, wa + wb));
                      });
  if (!a.made_again() || !b.made_again()) return joined;
  return recomputed(joined, [a = a.kept(), b = b.kept()] { return concat_columns(a, b).value(); });
}

Var gather_rows(const Var& x, const Tensor& rows, const Tensor& row_of) {
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, x.value().dtype(), {rows.dim(0), x.value().dim(1)});
  backend.gather_rows(y, x.value(), rows);
  const auto back = [x = x.without_value(), row_of, shape = x.value().shape()](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, dy.dtype(), shape);
    backend.combine_forward(dx, dy, Tensor(), row_of);
    x.add_gradient(dx);
  };
  return recomputed(record(y, x.needs_gradient(), back),
                    [x = x.kept(), rows, row_of] { return gather_rows(x, rows, row_of).value(); });
}

Var cast(const Var& x, DType dtype) {
  if (x.value().dtype() == dtype) return x;
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, dtype, x.value().shape());
  backend.copy(y, x.value());
  const auto back = [x = x.without_value(), before = x.value().dtype()](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, before, dy.shape());
    backend.copy(dx, dy);
    x.add_gradient(dx);
  };
  return recomputed(record(y, x.needs_gradient(), back), [x = x.kept(), dtype] { return cast(x, dtype).value(); });
}

Var view(const Var& x, Shape shape) {
  const Shape before = x.value().shape();
  Var y = record(x.value().view(shape), x.needs_gradient(),
                 [x = x.without_value(), before](const Tensor& dy) { x.add_gradient(dy.view(before)); });
  if (!x.made_again()) return y;
  return recomputed(y, [x = x.kept(), shape] { return x.value().view(shape); });
}

}  // namespace tenth::ops
