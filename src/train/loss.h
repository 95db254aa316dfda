// Cross-entropy of the next token and of multi-token prediction, as sums of token log-probabilities with weights.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "nn/transformer.h"

namespace tenth {

// Sequences end to end; scored[n] says whether token n counts as a target (prompts of SFT do not, nor do first tokens).
struct Examples {
  std::vector<int32_t> ids;
  std::vector<int32_t> lengths;
  std::vector<uint8_t> scored;

  void add(std::span<const int32_t> sequence, size_t unscored_prefix);
  int64_t tokens() const { return int64_t(ids.size()); }
  int64_t scored_tokens() const;
};

Examples all_tokens_scored(std::span<const int32_t> ids, std::span<const int32_t> lengths);

// Cuts sequences into parts of at most context tokens, each a sequence of its own: as many tokens, but the first of
// each part is no target any more.
void cut_sequences(Examples& examples, int64_t context);

// Targets by position: offset 1 gives the next token, 2 the one after (multi-token prediction); -1 where there is none
// in the same sequence or it is not scored.
std::vector<int32_t> targets_at(const Examples& examples, int offset);
// The token after each, 0 at the ends of sequences: input of the multi-token prediction module.
std::vector<int32_t> next_ids(const Examples& examples);

struct LossSettings {
  double mtp_weight = 0;      // lambda of L = L_main + lambda L_mtp (V3 report, section 2.2)
  double balance_weight = 0;  // alpha of the sequence-wise balance loss, summed over mixtures
  double z_weight = 0;  // of the mean of lse^2 over scored tokens, lse = ln sum_v e^logit (z-loss: PaLM, section 5)
  bool count_load = false;
  bool recompute = false;  // cheap activations again in the backward pass, for memory (autograd/tape.h); same bits
  // Divisors of the sums; 0: the batch's own counts. With gradient accumulation, those of the whole step.
  int64_t main_tokens = 0, mtp_tokens = 0;
  double balance_share = 1;  // of this micro-batch in the step
};

struct LossResult {
  double loss = 0, mtp_loss = 0, balance_loss = 0;  // means over scored tokens; balance: mean over mixtures
  double z_loss = 0;                                // mean of lse^2, without its weight; 0 where that is 0
  int64_t tokens = 0;                               // scored
};

// The loss; its gradient is added to the weights' gradients. Throws kNumeric where the loss is not finite; the
// gradients are of no use then.
LossResult loss_and_gradients(Transformer& model, const Examples& examples, const LossSettings& settings);
LossResult loss_only(Transformer& model, const Examples& examples, const LossSettings& settings);

}  // namespace tenth
