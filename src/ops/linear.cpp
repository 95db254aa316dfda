#include "ops/linear.h"

#include "ops/fp8.h"

namespace tenth::ops {
namespace {

Var linear_any(DType out, const Var& x, Weight& w, Weight* bias, const Tensor& offsets) {
  const int64_t inputs = w.shape[-1], outputs = w.shape[-2];
  if (x.value().rank() != 2 || x.value().dim(1) != inputs)
    fail(ErrorKind::kInternal, "[linear] the input of shape {} does not fit a weight of shape {}",
         x.value().shape().text(), w.shape.text());
  if (w.fp8) return fp8_linear(x, w, bias, offsets);
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, out, {x.value().dim(0), outputs});
  multiply(y, x.value(), w, bias ? bias->value : Tensor(), offsets);
  return record(y, x.needs_gradient() || w.trained(),
                [=, x = w.trained() ? x.kept() : x.without_value(), shape = x.value().shape(),
                 dtype = x.value().dtype(), &w](const Tensor& dy) {
                  Backend& backend = backend_of(dy);
                  if (x.needs_gradient()) {
                    Tensor dx = Tensor::make(backend, dtype, shape);
                    backend.linear_backward_input(dx, dy, w.compute, offsets, true);
                    x.add_gradient(dx);
                  }
                  if (w.trained()) w.add_product(bias, dy, x.value(), offsets);
                });
}

}  // namespace

void multiply(const Tensor& y, const Tensor& x, Weight& w, const Tensor& bias, const Tensor& offsets) {
  Backend& backend = backend_of(x);
  if (w.blocks) return backend.block_linear_forward(y, x, w.blocks, bias, offsets);
  if (!w.packed) w.packed = backend.pack_weight(w.compute);
  backend.linear_forward(y, x, w.compute, w.packed, bias, offsets);
}

Var linear(const Var& x, Weight& w, Weight* bias) { return linear_any(x.value().dtype(), x, w, bias, Tensor()); }

Var expand(const Var& x, Weight& w) {
  return recomputed(linear(x, w), [x = x.kept(), &w] { return linear(x, w).value(); });
}

Var linear_to(DType out, const Var& x, Weight& w) { return linear_any(out, x, w, nullptr, Tensor()); }

Var grouped_linear(const Var& x, Weight& w, const Tensor& offsets) {
  return linear_any(x.value().dtype(), x, w, nullptr, offsets);
}

Var embedding(const Tensor& ids, Weight& w, DType type) {
  Backend& backend = backend_of(ids);
  Tensor y = Tensor::make(backend, type, {ids.dim(0), w.shape[1]});
  if (w.blocks)
    backend.block_embedding_forward(y, ids, w.blocks);
  else
    backend.embedding_forward(y, ids, w.compute);
  return record(y, w.trained(),
                [ids, &w](const Tensor& dy) { backend_of(dy).embedding_backward(w.gradient(), dy, ids); });
}

}  // namespace tenth::ops
