#include "nn/feed_forward.h"

#include "ops/basic.h"
#include "ops/linear.h"
#include "ops/norm.h"

namespace tenth {

MLP::MLP(int64_t hidden, int64_t width, ParameterList& parameters, const std::string& prefix)
    : gate_up_(parameters.add_gate_up(prefix, width, hidden)),
      down_(parameters.add(prefix + "down_proj.weight", {hidden, width}, Parameter::Role::kMatrix)) {}

Var MLP::forward(const Var& x, Pass&) { return ops::linear(ops::swiglu(ops::linear(x, *gate_up_)), *down_); }

Gate::Gate(const ModelConfig& c, ParameterList& parameters, const std::string& prefix)
    : args_(c.gate),
      weight_(parameters.add(prefix + "weight", {c.n_routed_experts, c.hidden_size}, Parameter::Role::kRouter)),
      bias_(c.gate_bias
                ? parameters.add(prefix + "e_score_correction_bias", {c.n_routed_experts}, Parameter::Role::kBuffer)
                : nullptr) {}

ops::Routing Gate::forward(const Var& x, Pass& pass) {
  Var logits = ops::linear(ops::cast(x, weight_->value.dtype()), *weight_);
  const Tensor replay = pass.replay ? pass.replay->at(pass.mixture_index) : Tensor();
  ops::Routing routing = ops::gate(logits, bias_ ? bias_->value : Tensor(), replay, args_);
  if (pass.record_routing) pass.routings.push_back(routing.experts);
  if (pass.with_balance_loss)
    pass.balance_losses.push_back(ops::balance_loss(logits, routing, pass.batch.segments, args_));
  pass.mixture_index++;
  return routing;
}

MoE::MoE(const ModelConfig& c, ParameterList& parameters, const std::string& prefix)
    : gate_(c, parameters, prefix + "gate."),
      experts_(c.n_routed_experts),
      gate_up_(parameters.add_expert_gate_up(prefix, experts_, c.moe_intermediate_size, c.hidden_size)),
      down_(parameters.add_expert_down(prefix, experts_, c.hidden_size, c.moe_intermediate_size)),
      load_(size_t(experts_), 0) {
  if (c.n_shared_experts) {
    shared_ = std::make_unique<MLP>(c.hidden_size, c.n_shared_experts * c.moe_intermediate_size, parameters,
                                    prefix + "shared_experts.");
  }
}

Var MoE::forward(const Var& x, Pass& pass) {
  const ops::Routing routing = gate_.forward(x, pass);
  const ops::Dispatch dispatch = ops::sort_by_expert(routing.experts, experts_);
  if (pass.count_load) {
    const std::vector<int32_t> offsets = dispatch.offsets.to_host<int32_t>();
    for (size_t e = 0; e < load_.size(); e++) load_[e] += offsets[e + 1] - offsets[e];
  }
  Var sorted = ops::gather_rows(x, dispatch.token_of, dispatch.row_of);  // (R, D)
  Var hidden = ops::swiglu(ops::grouped_linear(sorted, *gate_up_, dispatch.offsets));
  Var y = ops::combine(ops::grouped_linear(hidden, *down_, dispatch.offsets), routing.weights, dispatch.row_of);
  return shared_ ? ops::add(y, shared_->forward(x, pass)) : y;
}

void MoE::update_bias(double rate) {
  if (!gate_.bias() || rate == 0) return;
  int64_t total = 0;
  for (int64_t count : load_) total += count;
  const Tensor& bias = gate_.bias()->value;
  Backend& backend = backend_of(bias);
  std::vector<float> step;
  for (int64_t count : load_) {
    const int64_t excess = count * experts_ - total;  // load against the mean, in whole numbers
    step.push_back(float(excess < 0 ? rate : excess > 0 ? -rate : 0));
  }
  Tensor delta = Tensor::make(backend, bias.dtype(), bias.shape());
  backend.copy(delta, Tensor::from_host(backend, step));
  backend.add(bias, bias, delta);
}

}  // namespace tenth
