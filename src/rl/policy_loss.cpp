#include "rl/policy_loss.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "base/text.h"

namespace tenth {
namespace {

using Ratio = PolicyLossConfig::Ratio;
using Reduction = PolicyLossConfig::Reduction;

// One row of the input: its tokens begin at token `begin` of the flat spans.
struct Row {
  size_t index, begin, end;
  int64_t unmasked;
  double advantage;
};

class Computation {
 public:
  Computation(const PolicyLossConfig& config, const PolicyLossInput& input) : config_(config), input_(input) {
    check();
    result_.dlogprobs.assign(input.logprobs.size(), 0.0);
    size_t begin = 0;
    for (size_t i = 0; i < input.row_lengths.size(); i++) {
      Row row{i, begin, begin + size_t(input.row_lengths[i]), 0, input.advantages[i]};
      for (size_t t = row.begin; t < row.end; t++) row.unmasked += counts(t);
      result_.metrics.tokens += row.unmasked;
      rows_.push_back(row);
      begin = row.end;
    }
  }

  PolicyLoss run() {
    for (const Row& row : rows_) {
      if (row.unmasked == 0) continue;
      check_finite(row);
      policy_terms(row);
      if (!input_.reference_logprobs.empty()) reference_terms(row);
    }
    PolicyLossMetrics& metrics = result_.metrics;
    const double tokens = double(std::max<int64_t>(metrics.tokens, 1));
    for (double* mean : {&metrics.clip_fraction_low, &metrics.clip_fraction_high, &metrics.mean_ratio,
                         &metrics.approx_kl, &metrics.mean_kl})
      *mean /= tokens;
    require(std::isfinite(result_.loss), ErrorKind::kNumeric, "[policy_loss] the loss is {}", result_.loss);
    return std::move(result_);
  }

 private:
  void check() const {
    const auto same = [](size_t got, size_t want, const char* what) {
      require(got == want, ErrorKind::kInternal, "[policy_loss] {}: expected {} values, got {}", what, want, got);
    };
    size_t tokens = 0;
    for (const int64_t length : input_.row_lengths) {
      require(length >= 0, ErrorKind::kInternal, "[policy_loss] row_lengths: expected 0 or more, got {}", length);
      tokens += size_t(length);
    }
    same(input_.logprobs.size(), tokens, "logprobs");
    same(input_.old_logprobs.size(), tokens, "old_logprobs");
    same(input_.advantages.size(), input_.row_lengths.size(), "advantages");
    if (!input_.mask.empty()) same(input_.mask.size(), tokens, "mask");
    if (!input_.reference_logprobs.empty() || config_.beta != 0)
      same(input_.reference_logprobs.size(), tokens, "reference_logprobs");
    require(config_.reduction != Reduction::kConstant || config_.constant_length > 0, ErrorKind::kInternal,
            "[policy_loss] constant_length: expected 1 or more, got {}", config_.constant_length);
  }

  bool counts(size_t t) const { return input_.mask.empty() || input_.mask[t] != 0; }

  void check_finite(const Row& row) const {
    require(std::isfinite(row.advantage), ErrorKind::kNumeric, "[policy_loss] advantage of row {} is {}", row.index,
            row.advantage);
    for (size_t t = row.begin; t < row.end; t++) {
      if (!counts(t)) continue;
      const double reference = input_.reference_logprobs.empty() ? 0 : input_.reference_logprobs[t];
      require(std::isfinite(input_.logprobs[t]) && std::isfinite(input_.old_logprobs[t]) && std::isfinite(reference),
              ErrorKind::kNumeric, "[policy_loss] row {} token {}: log-probability is {}, old {}, reference {}",
              row.index, t - row.begin, input_.logprobs[t], input_.old_logprobs[t], reference);
    }
  }

  // w_t, the same for all tokens of a row.
  double weight(const Row& row) const {
    const double rows = double(input_.batch_rows > 0 ? input_.batch_rows : int64_t(rows_.size()));
    switch (config_.reduction) {
      case Reduction::kSequenceMean: return 1 / (rows * double(row.unmasked));
      case Reduction::kTokenMean:
        return 1 / double(input_.batch_tokens > 0 ? input_.batch_tokens : result_.metrics.tokens);
      case Reduction::kConstant: return 1 / (rows * double(config_.constant_length));
    }
    return 0;
  }

  double log_ratio(size_t t) const { return input_.logprobs[t] - input_.old_logprobs[t]; }

  // p_t and its gradient. Where the clipped branch is the smaller one the gradient is 0; else, for rho A is the term,
  //   token:     d p_t / d l_t = -rho_t A
  //   sequence:  d rho / d l_u = rho / n for each of the n tokens u of the row, and the row has n equal terms:
  //              d (sum_t p_t) / d l_u = -rho A
  // so both read -rho A at each token.
  void policy_terms(const Row& row) {
    double mean = 0;
    for (size_t t = row.begin; t < row.end; t++)
      if (counts(t)) mean += log_ratio(t) / double(row.unmasked);
    const bool off_policy = row.advantage < 0 && -mean > config_.off_policy_delta;
    result_.metrics.off_policy_rows += off_policy;
    const double w = weight(row), a = row.advantage;
    for (size_t t = row.begin; t < row.end; t++) {
      if (!counts(t)) continue;
      const double rho = std::exp(config_.ratio == Ratio::kSequence ? mean : log_ratio(t));
      note_ratio(rho, log_ratio(t), a);
      if (off_policy || a == 0) continue;  // A = 0 adds nothing, even where rho overflows
      const double clipped = std::clamp(rho, 1 - config_.clip_low, 1 + config_.clip_high);
      result_.loss -= w * std::min(rho * a, clipped * a);
      if (rho * a <= clipped * a) result_.dlogprobs[t] -= w * rho * a;
    }
  }

  // beta k_t; with x = exp(l_ref - l):  k = x - log x - 1,  d k / d l = 1 - x.
  void reference_terms(const Row& row) {
    const double w = weight(row) * config_.beta;
    for (size_t t = row.begin; t < row.end; t++) {
      if (!counts(t)) continue;
      const double log_x = input_.reference_logprobs[t] - input_.logprobs[t];
      const double k = std::expm1(log_x) - log_x;
      result_.metrics.mean_kl += k;
      if (config_.beta == 0) continue;
      result_.loss += w * k;
      result_.dlogprobs[t] -= w * std::expm1(log_x);
    }
  }

  void note_ratio(double rho, double token_log_ratio, double a) {
    PolicyLossMetrics& metrics = result_.metrics;
    metrics.clip_fraction_low += a < 0 && rho < 1 - config_.clip_low;
    metrics.clip_fraction_high += a > 0 && rho > 1 + config_.clip_high;
    metrics.mean_ratio += rho;
    metrics.approx_kl += std::expm1(token_log_ratio) - token_log_ratio;
  }

  const PolicyLossConfig& config_;
  const PolicyLossInput& input_;
  std::vector<Row> rows_;
  PolicyLoss result_;
};

}  // namespace

PolicyLossConfig policy_loss_config(std::string_view variant) {
  if (variant == "grpo") return {.reduction = Reduction::kSequenceMean, .beta = 0.04};
  if (variant == "dr_grpo") return {.reduction = Reduction::kConstant, .advantage = AdvantageScale::kNone};
  if (variant == "dapo") return {.reduction = Reduction::kTokenMean, .clip_high = 0.28};
  if (variant == "gspo")
    return {.ratio = Ratio::kSequence, .reduction = Reduction::kSequenceMean, .clip_low = 3e-4, .clip_high = 4e-4};
  fail(ErrorKind::kInput, "policy loss: expected one of grpo, dr_grpo, dapo, gspo, got {}{}", variant,
       did_you_mean(variant, {"grpo", "dr_grpo", "dapo", "gspo"}));
}

PolicyLoss policy_loss(const PolicyLossConfig& config, const PolicyLossInput& input) {
  return Computation(config, input).run();
}

}  // namespace tenth
