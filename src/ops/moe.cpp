#include "ops/moe.h"

namespace tenth::ops {

Routing gate(const Var& logits, const Tensor& bias, const Tensor& replay, const GateArgs& args) {
  const Tensor& z = logits.value();
  Backend& backend = backend_of(z);
  const Shape chosen{z.dim(0), args.experts_per_token};
  require(!replay || replay.shape() == chosen, ErrorKind::kInternal, "[gate] replay of shape {} for {} tokens",
          replay ? replay.shape().text() : "", z.dim(0));
  Tensor experts = replay ? replay : Tensor::make(backend, DType::kI32, chosen);
  Tensor weights = Tensor::make(backend, z.dtype(), chosen), scores = Tensor::make(backend, z.dtype(), z.shape());
  backend.gate_forward(weights, experts, scores, z, bias, replay.defined(), args);
  Var out = record(weights, logits.needs_gradient(), [=, logits = logits.without_value()](const Tensor& dweights) {
    Tensor dlogits = Tensor::make(backend_of(dweights), dweights.dtype(), scores.shape());
    backend_of(dweights).gate_backward(dlogits, dweights, weights, experts, scores, args);
    logits.add_gradient(dlogits);
  });
  return {out, experts, scores};
}

Var balance_loss(const Var& logits, const Routing& routing, const Tensor& segments, const GateArgs& args) {
  const Tensor scores = routing.scores, experts = routing.experts;
  Backend& backend = backend_of(scores);
  Tensor loss = Tensor::make(backend, scores.dtype(), {1});
  backend.balance_loss_forward(loss, scores, experts, segments);
  return record(loss, logits.needs_gradient(), [=, logits = logits.without_value()](const Tensor& dloss) {
    Tensor dlogits = Tensor::make(backend_of(dloss), dloss.dtype(), scores.shape());
    backend_of(dloss).balance_loss_backward(dlogits, dloss, scores, experts, segments, args.score);
    logits.add_gradient(dlogits);
  });
}

Dispatch sort_by_expert(const Tensor& experts, int64_t expert_count) {
  Backend& backend = backend_of(experts);
  Dispatch d{Tensor::make(backend, DType::kI32, experts.shape()), Tensor::make(backend, DType::kI32, {experts.count()}),
             Tensor::make(backend, DType::kI32, {expert_count + 1})};
  backend.sort_by_expert(d.row_of, d.token_of, d.offsets, experts);
  return d;
}

Var combine(const Var& x, const Var& weights, const Tensor& row_of) {
  Backend& backend = backend_of(x.value());
  Tensor y = Tensor::make(backend, x.value().dtype(), {row_of.dim(0), x.value().dim(1)});
  backend.combine_forward(y, x.value(), weights.value(), row_of);
  return record(y, x.needs_gradient() || weights.needs_gradient(),
                [x = x.kept(), weights = weights.kept(), row_of](const Tensor& dy) {
                  Backend& backend = backend_of(dy);
                  Tensor dx = Tensor::make(backend, dy.dtype(), x.value().shape());
                  Tensor dweights = Tensor::make(backend, weights.value().dtype(), weights.value().shape());
                  backend.combine_backward(dx, dweights, dy, x.value(), weights.value(), row_of);
                  x.add_gradient(dx);
                  weights.add_gradient(dweights);
                });
}

}  // namespace tenth::ops
