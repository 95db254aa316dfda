// Log-probabilities of given logits, their entropy, and the gradient.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {

// lse = ln sum_v e^{z_v};  logprob = z_target - lse, 0 for target -1;  entropy = -sum_v p_v ln p_v,  p_v = e^{z_v -
// lse}
void ReferenceBackend::logprobs_forward(const Tensor& logprobs_, const Tensor& lse_, const Tensor& entropy_,
                                        const Tensor& logits_, const Tensor& targets_) {
  View logprobs(logprobs_), lse(lse_), entropy(entropy_), logits(logits_), targets(targets_);
  for (int64_t n = 0; n < logits_.dim(0); n++) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t v = 0; v < logits_.dim(1); v++) top = std::max(top, double(logits(n, v)));
    for (int64_t v = 0; v < logits_.dim(1); v++) sum += std::exp(logits(n, v) - top);
    const double log_sum = top + std::log(sum);
    const int64_t target = int64_t(targets(n));
    lse(n) = log_sum;
    logprobs(n) = target < 0 ? 0 : logits(n, target) - log_sum;
    if (!entropy) continue;
    double minus_entropy = 0;
    for (int64_t v = 0; v < logits_.dim(1); v++) {
      const double log_p = logits(n, v) - log_sum, p = std::exp(log_p);
      if (p != 0) minus_entropy += p * log_p;  // p ln p -> 0
    }
    entropy(n) = -minus_entropy;
  }
}

// dz_v = dlogprob (1[v = target] - p_v) + dlse p_v with p_v = e^{z_v - lse}, written over z_v;  0 for target -1
void ReferenceBackend::logprobs_backward(const Tensor& logits_, const Tensor& dlogprobs_, const Tensor& lse_,
                                         const Tensor& targets_, const Tensor& dlse_, int64_t first) {
  View logits(logits_), dlogprobs(dlogprobs_), lse(lse_), targets(targets_), dlse(dlse_);
  for (int64_t n = 0; n < logits_.dim(0); n++) {
    const int64_t target = int64_t(targets(n));
    for (int64_t v = 0; v < logits_.dim(1); v++) {
      const double p = std::exp(logits(n, v) - lse(n)), through_lse = dlse ? dlse(n) * p : 0;
      logits(n, v) = target < 0 ? 0 : dlogprobs(n) * ((first + v == target) - p) + through_lse;
    }
  }
}

}  // namespace tenth::reference
