// The output head fused with the log-probability of given tokens: logits exist only for a chunk of rows at a time. The
// backward pass makes them again, unless its gradient is known beforehand.
#pragma once
#include "autograd/tape.h"
#include "autograd/weight.h"

namespace tenth::ops {

struct TokenLogprobs {
  Var logprobs;    // (N) G: log softmax(x w^T / temperature)[target]; 0 where the target is -1
  Tensor entropy;  // (N) G, of the whole distribution; only where asked for
  Tensor lse;      // (N) G: log sum exp(x w^T / temperature)
};
// x (N, D); w (V, D); targets (N) i32, -1: none
struct LogprobOptions {
  bool with_entropy = false;
  double temperature = 1;
  // z-loss (PaLM, arXiv 2204.02311, section 5): the backward pass adds the gradient of z_weight lse^2, summed over the
  // rows with a target.
  double z_weight = 0;
  // (N) G: d loss / d logprobs, where it is known before they are, as in cross-entropy. The gradients of x and w are
  // then made here, of the logits at hand, and the backward pass, which must start from this very tensor, hands that of
  // x on.
  Tensor dlogprobs = {};
};
TokenLogprobs linear_logprobs(const Var& x, Weight& w, const Tensor& targets, const LogprobOptions& options = {});

// Logits that exist at a time where dlogprobs is given, at most.
int64_t logits_at_a_time(int64_t tokens, int64_t vocabulary);
// Of those, the ones whose gradient exists beside them, in the type of x.
int64_t logit_gradients_at_a_time(int64_t tokens, int64_t vocabulary);

}  // namespace tenth::ops
