#include "autograd/tape.h"

namespace tenth {
namespace {

thread_local Tape* active_tape = nullptr;

}  // namespace

Var Var::with_gradient(Tensor value) {
  Var var(std::move(value));
  var.node_ = std::make_shared<Node>();
  return var;
}

Var Var::without_value() const {
  Var var;
  var.node_ = node_;
  return var;
}

const Tensor& Var::value() const {
  if (value_ || !made_again()) return value_;
  if (!node_->made) node_->made = node_->make();
  return node_->made;
}

void Var::add_gradient(const Tensor& gradient) const {
  if (!node_) return;
  Tensor& total = node_->gradient;
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

Tape::Tape(bool recompute) : outer_(active_tape), recompute_(recompute) { active_tape = this; }

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

}  // namespace tenth
