#include "ops/norm.h"

namespace tenth::ops {
namespace {

struct Normed {
  Tensor y, rstd;
};

Normed forward(const Tensor& x, const Weight& w, double eps) {
  require(x.dim(-1) == w.value.dim(0), ErrorKind::kInternal, "[rms_norm] the input has {} columns, the weight {}",
          x.dim(-1), w.value.dim(0));
  Backend& backend = backend_of(x);
  Normed n{Tensor::make(backend, x.dtype(), x.shape()), Tensor::make(backend, w.value.dtype(), {x.dim(0)})};
  backend.rms_norm_forward(n.y, n.rstd, x, w.value, eps);
  return n;
}

// dx of the norm plus the gradient that came past it.
Tensor backward(const Tensor& dy, const Tensor& dresidual, const Tensor& x, const Tensor& rstd, Weight& w) {
  Backend& backend = backend_of(dy);
  Tensor dx = Tensor::make(backend, x.dtype(), x.shape());
  const Tensor dw = w.trained() ? w.gradient() : Tensor::make(backend, w.value.dtype(), w.value.shape());
  backend.rms_norm_backward(dx, dw, dy, dresidual, x, rstd, w.value);
  return dx;
}

}  // namespace

Var rms_norm(const Var& x, Weight& w, double eps) {
  Normed n = forward(x.value(), w, eps);
  const auto back = [x = x.kept(), rstd = n.rstd, &w](const Tensor& dy) {
    x.add_gradient(backward(dy, Tensor(), x.value(), rstd, w));
  };
  return recomputed(record(n.y, x.needs_gradient() || w.trained(), back),
                    [x = x.kept(), eps, &w] { return forward(x.value(), w, eps).y; });
}

ResidualNorm add_rms_norm(const Var& x, const Var& delta, Weight& w, double eps) {
  Backend& backend = backend_of(x.value());
  Tensor sum = Tensor::make(backend, x.value().dtype(), x.value().shape());
  backend.add(sum, x.value(), delta.value());
  Normed n = forward(sum, w, eps);
  Tape* tape = Tape::active();
  if (!tape || !(x.needs_gradient() || delta.needs_gradient() || w.trained())) return {sum, n.y};
  ResidualNorm out{Var::with_gradient(sum), Var::with_gradient(n.y)};
  out.normed = recomputed(out.normed, [sum, eps, &w] { return forward(sum, w, eps).y; });
  tape->record([x = x.without_value(), delta = delta.without_value(), sum = out.sum,
                normed = out.normed.without_value(), rstd = n.rstd, &w] {
    Tensor dsum = sum.gradient();
    if (Tensor dy = normed.gradient()) dsum = backward(dy, dsum, sum.value(), rstd, w);
    if (!dsum) return;
    x.add_gradient(dsum);
    delta.add_gradient(dsum);
  });
  return out;
}

Var rope(const Var& x, const Tensor& positions, const Tensor& table, int64_t first, RopeStyle style) {
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, x.value().dtype(), x.value().shape());
  const auto by_head = [](const Tensor& t) { return t.rank() == 2 ? t.insert_dim(1) : t; };
  backend.rope(by_head(y), by_head(x.value()), positions, table, first, style, false);
  const auto back = [=, x = x.without_value()](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, dy.dtype(), dy.shape());
    backend.rope(by_head(dx), by_head(dy), positions, table, first, style, true);
    x.add_gradient(dx);
  };
  Var rotated = record(y, x.needs_gradient(), back);
  if (!x.made_again()) return rotated;  // one of the two is kept in any case
  return recomputed(rotated, [=, x = x.kept()] { return rope(x, positions, table, first, style).value(); });
}

Var swiglu(const Var& gate_up) {
  Backend& backend = backend_of(gate_up.value());
  Tensor y = Tensor::make(backend, gate_up.value().dtype(), {gate_up.value().dim(0), gate_up.value().dim(1) / 2});
  backend.swiglu_forward(y, gate_up.value());
  const auto back = [gate_up = gate_up.kept()](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    Tensor dx = Tensor::make(backend, dy.dtype(), gate_up.value().shape());
    backend.swiglu_backward(dx, dy, gate_up.value());
    gate_up.add_gradient(dx);
  };
  return recomputed(record(y, gate_up.needs_gradient(), back),
                    [gate_up = gate_up.kept()] { return swiglu(gate_up).value(); });
}

}  // namespace tenth::ops
