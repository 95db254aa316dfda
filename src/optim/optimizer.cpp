#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace tenth {
namespace {

void check_option(bool ok, const char* name, double value, const char* expected) {
  require(ok, ErrorKind::kInput, "optimizer: {} is {}, expected {}", name, value, expected);
}

void check(const OptimizerOptions& o) {
  auto rate = [](double x) { return std::isfinite(x) && x >= 0; };
  auto share = [](double x) { return x >= 0 && x < 1; };
  check_option(rate(o.lr), "lr", o.lr, "a finite number of at least 0");
  check_option(rate(o.adam_lr), "adam_lr", o.adam_lr, "a finite number of at least 0");
  check_option(share(o.beta1), "beta1", o.beta1, "a number in [0, 1)");
  check_option(share(o.beta2), "beta2", o.beta2, "a number in [0, 1)");
  check_option(std::isfinite(o.eps) && o.eps > 0, "eps", o.eps, "a finite number above 0");
  check_option(rate(o.weight_decay), "weight_decay", o.weight_decay, "a finite number of at least 0");
  check_option(share(o.ema_decay), "ema_decay", o.ema_decay, "a number in [0, 1)");
  check_option(share(o.momentum), "momentum", o.momentum, "a number in [0, 1)");
}

Tensor zeros_like(const Tensor& t) {
  Tensor zeros = Tensor::make(t.device(), t.dtype(), t.shape());
  backend_of(t).fill(zeros, 0);
  return zeros;
}

}  // namespace

Optimizer::Optimizer(const std::vector<Parameter>& parameters, const OptimizerOptions& options) : options_(options) {
  check(options);
  for (const Parameter& p : parameters)
    if (p.role != Parameter::Role::kBuffer && p.weight->trained()) members_.push_back({p, slot_of(p)});
}

// The place of the parameter's weight among the slots; a new one where it is the first of its weight.
size_t Optimizer::slot_of(const Parameter& p) {
  for (size_t i = slots_.size(); i-- > 0;) {
    if (slots_[i].weight != p.weight) continue;
    require(slots_[i].role == p.role, ErrorKind::kInternal,
            "optimizer: {} has another role than the rest of its weight", p.name);
    return i;
  }
  const Tensor& value = p.weight->value;
  const bool muon = options_.kind == OptimizerOptions::Kind::kMuon && p.role == Parameter::Role::kMatrix;
  require(!muon || p.value().rank() == 2, ErrorKind::kInternal, "optimizer: Muon wants matrices, {} has shape {}",
          p.name, p.shape().text());
  slots_.push_back({p.weight, p.role, muon, zeros_like(value), muon ? row_moments(value) : zeros_like(value), {}});
  if (options_.ema_decay == 0) return slots_.size() - 1;
  slots_.back().average = zeros_like(value);
  backend_of(value).copy(slots_.back().average, value);
  return slots_.size() - 1;
}

// One number a row of each matrix of the weight, where NorMuon wants them.
Tensor Optimizer::row_moments(const Tensor& value) const {
  if (!options_.normalize_rows) return {};
  return zeros_like(value.rank() == 3 ? value.slice(2, 0, 1) : value.slice(1, 0, 1));
}

void Optimizer::step(double lr_scale, double grad_scale) {
  require(std::isfinite(lr_scale) && std::isfinite(grad_scale), ErrorKind::kNumeric,
          "optimizer step {}: learning-rate factor {} and gradient factor {}, expected finite numbers; no weight was "
          "changed",
          steps_ + 1, lr_scale, grad_scale);
  for (const Slot& slot : slots_)
    require(slot.weight->trained(), ErrorKind::kInternal, "optimizer: a weight has lost its gradient buffer");
  steps_++;
  for (const Slot& slot : slots_)
    if (!slot.muon) adamw(slot, lr_scale, grad_scale);
  muon(lr_scale, grad_scale);
  update_averages();
}

void Optimizer::update_averages() const {
  const double t = double(steps_), decay = std::min(options_.ema_decay, (1 + t) / (10 + t));
  for (const Slot& slot : slots_)
    if (slot.average) backend_of(slot.average).axpby(slot.average, 1 - decay, slot.weight->value, decay);
}

void Optimizer::swap_average() {
  for (const Slot& slot : slots_) {
    if (!slot.average) continue;
    Backend& backend = backend_of(slot.average);
    const Tensor spare = Tensor::make(backend, slot.average.dtype(), slot.average.shape());
    backend.copy(spare, slot.average);
    backend.copy(slot.average, slot.weight->value);
    backend.copy(slot.weight->value, spare);
  }
}

void Optimizer::adamw(const Slot& slot, double lr_scale, double grad_scale) const {
  const AdamWArgs args = {.lr = options_.adam_lr * lr_scale,
                          .beta1 = options_.beta1,
                          .beta2 = options_.beta2,
                          .eps = options_.eps,
                          .weight_decay = slot.role == Parameter::Role::kVector ? 0 : options_.weight_decay,
                          .step = steps_,
                          .grad_scale = grad_scale,
                          .cautious = options_.cautious_decay};
  backend_of(slot.weight->value).adamw_step(slot.weight->value, slot.first, slot.second, slot.weight->gradient(), args);
}

void Optimizer::muon(double lr_scale, double grad_scale) const {
  std::vector<MuonMatrix> matrices;
  for (const Member& m : members_) {
    const Slot& slot = slots_[m.slot];
    if (!slot.muon) continue;
    matrices.push_back({m.parameter.value(), m.parameter.grad(), m.parameter.view_of(slot.first)});
    if (slot.second) matrices.back().row_second = row_moments_of(m);
  }
  if (matrices.empty()) return;
  muon_step(backend_of(matrices[0].value), matrices,
            {.lr = options_.lr * lr_scale,
             .weight_decay = options_.weight_decay,
             .momentum = options_.momentum,
             .nesterov = options_.nesterov,
             .scale = options_.scale,
             .variant = options_.variant,
             .beta2 = options_.beta2,
             .cautious = options_.cautious_decay,
             .grad_scale = grad_scale,
             .products = options_.muon_products});
}

Tensor Optimizer::row_moments_of(const Member& m) const {
  const Tensor rows = m.parameter.view_of(slots_[m.slot].second);  // (n, 1)
  return rows.view({rows.dim(0)});
}

double Optimizer::step_flops() const {
  double flops = 0;
  for (const Member& m : members_) {
    if (!slots_[m.slot].muon) continue;
    const Shape shape = m.parameter.shape();
    flops += newton_schulz_flops(shape[0], shape[1], options_.variant);
  }
  return flops;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> tensors;
  for (const Member& m : members_) {
    const Slot& slot = slots_[m.slot];
    tensors.push_back({m.parameter.name + (slot.muon ? ".momentum" : ".exp_avg"), m.parameter.view_of(slot.first)});
    if (!slot.muon) tensors.push_back({m.parameter.name + ".exp_avg_sq", m.parameter.view_of(slot.second)});
    if (slot.muon && slot.second) tensors.push_back({m.parameter.name + ".row_second", row_moments_of(m)});
    if (slot.average) tensors.push_back({m.parameter.name + ".average", m.parameter.view_of(slot.average)});
  }
  return tensors;
}

double global_norm(const std::vector<Parameter>& parameters) {
  std::unordered_set<const Weight*> seen;
  double sum = 0;
  for (const Parameter& p : parameters) {
    if (p.role == Parameter::Role::kBuffer || !p.weight->trained() || !seen.insert(p.weight.get()).second) continue;
    sum += backend_of(p.weight->grad).sum_of_squares(p.weight->gradient());
  }
  return std::sqrt(sum);
}

double clip_factor(double norm, double max_norm) {
  require(std::isfinite(norm), ErrorKind::kNumeric, "the norm of the gradients is {}, expected a finite number", norm);
  return std::min(1.0, max_norm / (norm + 1e-6));
}

}  // namespace tenth
