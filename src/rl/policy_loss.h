// The GRPO family: from log-probabilities and advantages to the loss (to be made small), its gradient with respect to
// every log-probability, and what to log. A pure function in doubles; the tensors are the caller's business.
//
// With l = log pi(token), l_old that of the policy that sampled, A the advantage of the row (response):
//   ratio            rho_t = exp(l_t - l_old_t)                                     token   GRPO 2402.03300, DAPO
//   2503.14476
//                    rho_t = exp(mean over the row of (l - l_old)), one a row       sequence        GSPO 2507.18071 eq
//                    7
//   policy term      p_t = -min(rho_t A, clip(rho_t, 1 - clip_low, 1 + clip_high) A)
//   KL to reference  k_t = exp(l_ref - l) - (l_ref - l) - 1 >= 0, the estimator k3 (Schulman); weight beta
//   loss             sum_t w_t (p_t + beta k_t), with w_t by the reduction:
//                    sequence mean  1 / (rows x unmasked tokens of the row)         GRPO 2402.03300 eq 3, GSPO
//                    token mean     1 / (unmasked tokens of the batch)              DAPO 2503.14476 eq 8
//                    constant       1 / (rows x constant_length)                    Dr. GRPO 2503.20783
#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "rl/advantage.h"

namespace tenth {

struct PolicyLossConfig {
  enum class Ratio { kToken, kSequence };
  enum class Reduction { kSequenceMean, kTokenMean, kConstant };

  Ratio ratio = Ratio::kToken;
  Reduction reduction = Reduction::kTokenMean;
  AdvantageScale advantage = AdvantageScale::kSampleStd;  // what the variant's paper uses; the loss does not read it
  double clip_low = 0.2;
  double clip_high = 0.2;
  double beta = 0;              // weight of the KL to the reference; 0: no reference is needed
  int64_t constant_length = 0;  // of Reduction::kConstant: the longest response allowed
  // DeepSeek-V3.2 (2512.02556): a row with A < 0 whose mean of l_old - l is above delta gives no policy term, for it is
  // too far from what the policy would say now. Infinity: off.
  double off_policy_delta = std::numeric_limits<double>::infinity();
};

// "grpo" (clip 0.2, beta 0.04), "dr_grpo" (constant_length is left to the caller), "dapo" (clip 0.2, 0.28),
// "gspo" (clip 3e-4, 4e-4). Throws kInput on another name.
PolicyLossConfig policy_loss_config(std::string_view variant);

// Rows (responses) one after another. All per-token spans have the same length, the sum of the row lengths.
struct PolicyLossInput {
  std::span<const double> logprobs;            // l, of the policy under training
  std::span<const double> old_logprobs;        // l_old; on-policy: the same span as logprobs
  std::span<const double> reference_logprobs;  // l_ref; may be empty where beta is 0
  std::span<const int64_t> row_lengths;        // tokens of each row; 0 is allowed
  std::span<const double> advantages;          // one a row
  std::span<const uint8_t> mask = {};          // 0: the token does not count (tool output, padding); empty: all count
  // What the means divide by, where this is one part of a larger batch (losses and gradients of the parts then add up
  // to those of the whole): its rows and its unmasked tokens. 0: those of this input.
  int64_t batch_rows = 0;
  int64_t batch_tokens = 0;
};

// Means over the unmasked tokens of this input; 0 where there are none.
struct PolicyLossMetrics {
  int64_t tokens = 0;             // unmasked
  double clip_fraction_low = 0;   // rho < 1 - clip_low and A < 0: no gradient
  double clip_fraction_high = 0;  // rho > 1 + clip_high and A > 0: no gradient
  double mean_ratio = 0;          // of rho as the loss uses it
  double approx_kl = 0;           // KL(old || current) by k3 of the token ratios: rho - 1 - log rho
  double mean_kl = 0;             // k_t, where a reference is given
  int64_t off_policy_rows = 0;    // left out by off_policy_delta
};

struct PolicyLoss {
  double loss = 0;
  std::vector<double> dlogprobs;  // d loss / d l, as logprobs; 0 for masked tokens
  PolicyLossMetrics metrics;
};

// Throws kInternal on spans that do not fit together, kNumeric (row and token named) where a value that counts is not
// finite.
PolicyLoss policy_loss(const PolicyLossConfig& config, const PolicyLossInput& input);

}  // namespace tenth
