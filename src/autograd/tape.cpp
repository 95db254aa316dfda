#include "autograd/tape.h"

namespace tenth {
namespace {

thread_local Tape* active_tape = nullptr;

}  // namespace

Var Var::with_gradient(Tensor value) {
  Var var(std::move(value));
  var.gradient_ = std::make_shared<Tensor>();
  return var;
}

void Var::add_gradient(const Tensor& gradient) const {
  if (!gradient_) return;
  Tensor& total = *gradient_;
  if (!total) {
    total = gradient;
    return;
  }
  Backend& backend = backend_of(total);
  if (total.unique() && total.contiguous()) {
    backend.add(total, total, gradient);
  } else {
    Tensor sum = Tensor::make(backend, total.dtype(), total.shape());
    backend.add(sum, total, gradient);
    total = sum;
  }
}

Tape::Tape() : outer_(active_tape) { active_tape = this; }

Tape::~Tape() { active_tape = outer_; }

Tape* Tape::active() { return active_tape; }

void Tape::backward(std::span<const Root> roots) {
  NoGrad off;
  for (const Root& root : roots) root.output.add_gradient(root.gradient);
  while (!nodes_.empty()) {
    std::function<void()> run = std::move(nodes_.back());
    nodes_.pop_back();
    run();
  }
}

NoGrad::NoGrad() : saved_(active_tape) { active_tape = nullptr; }

NoGrad::~NoGrad() { active_tape = saved_; }

Var checkpoint(const std::function<Var(std::span<const Var>)>& function, std::vector<Var> inputs) {
  Var value;
  {
    NoGrad off;
    value = function(inputs);
  }
  return record(value.value(), true, [function, inputs](const Tensor& dy) {
    std::vector<Var> again;
    for (const Var& input : inputs) {
      again.push_back(input.needs_gradient() ? Var::with_gradient(input.value()) : input);
    }
    Tape inner;
    Var output = function(again);
    const Tape::Root root{output, dy};
    inner.backward({&root, 1});
    for (size_t i = 0; i < inputs.size(); i++) {
      if (Tensor gradient = again[i].gradient()) inputs[i].add_gradient(gradient);
    }
  });
}

}  // namespace tenth
