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

// A value that gradients may flow through.
class Var {
 public:
  Var() = default;
  Var(Tensor value) : value_(std::move(value)) {}  // NOLINT: a constant

  // A leaf or result whose gradient is wanted.
  static Var with_gradient(Tensor value);

  const Tensor& value() const { return value_; }
  bool needs_gradient() const { return gradient_ != nullptr; }

  // d loss / d value so far; not defined where nothing arrived.
  Tensor gradient() const { return gradient_ ? *gradient_ : Tensor(); }
  // Adds to the gradient. The tensor is taken over; a shared one is never written to. Does nothing without
  // with_gradient.
  void add_gradient(const Tensor& gradient) const;

 private:
  Tensor value_;
  std::shared_ptr<Tensor> gradient_;
};

class Tape {
 public:
  Tape();  // active in this thread until it is destroyed; tapes nest
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  static Tape* active();

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
  tape->record([result, run = std::move(run)] {
    if (Tensor dy = result.gradient()) run(dy);
  });
  return result;
}

// Recompute: runs function without a tape and keeps only its inputs; the backward pass runs it again. It must be a pure
// function of its inputs and of weights, and must not count anything twice.
Var checkpoint(const std::function<Var(std::span<const Var>)>& function, std::vector<Var> inputs);

}  // namespace tenth
