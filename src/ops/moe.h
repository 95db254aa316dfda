// The routed part of a mixture of experts: gate, balance loss, and the way of tokens to their experts and back.
#pragma once
#include "autograd/tape.h"

namespace tenth::ops {

struct Routing {
  Var weights;     // (N, K) G
  Tensor experts;  // (N, K) i32, ascending
  Tensor scores;   // (N, E) G, before the bias
};
// logits (N, E) G; bias (E) G or not defined. replay (N, K): the experts to use instead of choosing.
Routing gate(const Var& logits, const Tensor& bias, const Tensor& replay, const GateArgs& args);

// Sequence-wise balance loss (see Backend), without its factor alpha. -> (1)
Var balance_loss(const Var& logits, const Routing& routing, const Tensor& segments, const GateArgs& args);

// Tokens sorted by expert (see Backend::sort_by_expert).
struct Dispatch {
  Tensor row_of;    // (N, K)
  Tensor token_of;  // (R)
  Tensor offsets;   // (E + 1)
};
Dispatch sort_by_expert(const Tensor& experts, int64_t expert_count);

// y[n] = sum_k weights[n, k] x[row_of[n, k]]; x (R, D) -> (N, D)
Var combine(const Var& x, const Var& weights, const Tensor& row_of);

}  // namespace tenth::ops
