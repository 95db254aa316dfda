// Reverse-mode differentiation over coarse operations. An op computes its result and, while a tape is active, records
// how to turn the gradient of the result into gradients of its inputs. Nodes are run in the reverse of the order in
// which they were recorded, which is always a valid order, and each is freed as soon as it has run.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace tenth {

// A value that gradients may flow through. What an op captures for its backward pass is kept() or without_value() of
// its inputs, never the variable itself: that would hold a value that nobody needs.
class Var {
 public:
  Var() = default;
  Var(Tensor value) : value_(std::move(value)) {}  // NOLINT: a constant

  // A leaf or result whose gradient is wanted.
  static Var with_gradient(Tensor value);

  // Made again here where it was not kept.
  const Tensor& value() const;
  bool needs_gradient() const { return node_ != nullptr; }

  // d loss / d value so far; not defined where nothing arrived.
  Tensor gradient() const { return node_ ? node_->gradient : Tensor(); }
  // Adds to the gradient. The tensor is taken over; a shared one is never written to. Does nothing without
  // with_gradient.
  void add_gradient(const Tensor& gradient) const;

  // The same variable with its value, or with what makes it again.
  Var kept() const { return made_again() ? without_value() : *this; }
  // The place of its gradient alone.
  Var without_value() const;

  // Whether the backward pass makes the value anew; see recomputed().
  bool made_again() const { return node_ && node_->make; }

 private:
  template <class Make>
  friend Var recomputed(Var result, Make make);
  struct Node {
    Tensor gradient;
    std::function<Tensor()> make;
    Tensor made;
  };

  Tensor value_;
  std::shared_ptr<Node> node_;
};

class Tape {
 public:
  // Active in this thread until it is destroyed; tapes nest. recompute: the results of cheap ops (norms, SwiGLU, …) are
  // dropped after the forward pass, and made again where the backward pass first asks for them.
  explicit Tape(bool recompute = false);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  static Tape* active();
  bool recomputes() const { return recompute_; }

  // run reads the gradients of its outputs (Var::gradient) and adds to those of its inputs.
  void record(std::function<void()> run) { nodes_.push_back(std::move(run)); }

  struct Root {
    Var output;
    Tensor gradient;  // d loss / d output
  };
  // Seeds the roots, then runs and frees all nodes. Recording is off meanwhile.
  void backward(std::span<const Root> roots);

 private:
  std::vector<std::function<void()>> nodes_;
  Tape* outer_;
  bool recompute_;
};

// Nothing is recorded in its scope.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  Tape* saved_;
};

// The usual node of one output: run(dy) is called with the gradient of the result, if one arrived. wanted: whether any
// input or weight of the op needs a gradient.
template <class Run>
Var record(Tensor value, bool wanted, Run run) {
  Tape* tape = Tape::active();
  if (!tape || !wanted) return Var(std::move(value));
  Var result = Var::with_gradient(std::move(value));
  tape->record([result = result.without_value(), run = std::move(run)] {
    if (Tensor dy = result.gradient()) run(dy);
  });
  return result;
}

// The result of an op, which a tape that recomputes need not keep: make gives the same bits again from kept() inputs,
// in the backward pass and without recording. The value goes when the forward pass lets go of it, and, made again, when
// the op's own backward has run.
template <class Make>
Var recomputed(Var result, Make make) {
  const Tape* tape = Tape::active();
  if (tape && tape->recomputes() && result.node_) result.node_->make = std::move(make);
  return result;
}

}  // namespace tenth
