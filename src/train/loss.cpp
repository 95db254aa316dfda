#include "train/loss.h"

#include <algorithm>
#include <cmath>

#include "ops/logprobs.h"

namespace tenth {

void Examples::add(std::span<const int32_t> sequence, size_t unscored_prefix) {
  ids.insert(ids.end(), sequence.begin(), sequence.end());
  lengths.push_back(int32_t(sequence.size()));
  for (size_t i = 0; i < sequence.size(); i++) scored.push_back(i > 0 && i >= unscored_prefix);
}

int64_t Examples::scored_tokens() const { return std::count(scored.begin(), scored.end(), uint8_t(1)); }

Examples all_tokens_scored(std::span<const int32_t> ids, std::span<const int32_t> lengths) {
  Examples examples;
  size_t begin = 0;
  for (int32_t length : lengths) {
    examples.add(ids.subspan(begin, size_t(length)), 0);
    begin += size_t(length);
  }
  return examples;
}

void cut_sequences(Examples& examples, int64_t context) {
  std::vector<int32_t> lengths;
  size_t begin = 0;  // of the part
  for (const int32_t length : examples.lengths)
    for (int64_t left = length; left > 0; left -= lengths.back()) {
      lengths.push_back(int32_t(std::min(left, context)));
      examples.scored[begin] = 0;
      begin += size_t(lengths.back());
    }
  examples.lengths = std::move(lengths);
}

std::vector<int32_t> targets_at(const Examples& examples, int offset) {
  std::vector<int32_t> targets(examples.ids.size(), -1);
  size_t begin = 0;
  for (int32_t length : examples.lengths) {
    for (size_t i = begin; i + size_t(offset) < begin + size_t(length); i++) {
      if (examples.scored[i + size_t(offset)]) targets[i] = examples.ids[i + size_t(offset)];
    }
    begin += size_t(length);
  }
  return targets;
}

std::vector<int32_t> next_ids(const Examples& examples) {
  std::vector<int32_t> next(examples.ids.size(), 0);
  size_t begin = 0;
  for (int32_t length : examples.lengths) {
    for (size_t i = begin; i + 1 < begin + size_t(length); i++) next[i] = examples.ids[i + 1];
    begin += size_t(length);
  }
  return next;
}

namespace {

// One cross-entropy: its mean, and d loss / d logprob = -weight / count at each target, as a root for the tape.
struct CrossEntropy {
  double mean = 0, z_loss = 0;
  int64_t count = 0;
  Tape::Root root;
};

std::vector<double> to_doubles(const Tensor& t) {
  if (t.dtype() == DType::kF64) return t.to_host<double>();
  const std::vector<float> values = t.to_host<float>();
  return {values.begin(), values.end()};
}

Tensor to_device(Backend& backend, DType dtype, const std::vector<double>& values) {
  if (dtype == DType::kF64) return Tensor::from_host(backend, values);
  return Tensor::from_host(backend, std::vector<float>(values.begin(), values.end()));
}

CrossEntropy cross_entropy(Transformer& model, const Var& hidden, const std::vector<int32_t>& targets, double weight,
                           int64_t divisor, double z_weight) {
  Backend& backend = model.backend();
  CrossEntropy result;
  result.count = std::count_if(targets.begin(), targets.end(), [](int32_t t) { return t >= 0; });
  const double over = double(std::max<int64_t>(1, divisor ? divisor : result.count));
  std::vector<double> gradient(targets.size());
  for (size_t i = 0; i < targets.size(); i++) gradient[i] = targets[i] >= 0 ? -weight / over : 0;
  const Tensor dlogprobs = to_device(backend, gradient_type(hidden.value().dtype()), gradient);
  const auto head = ops::linear_logprobs(hidden, model.head(), Tensor::from_host(backend, targets),
                                         {.z_weight = z_weight / over, .dlogprobs = dlogprobs});
  if (z_weight != 0) {
    const std::vector<double> lse = to_doubles(head.lse);
    for (size_t i = 0; i < lse.size(); i++) result.z_loss += targets[i] >= 0 ? lse[i] * lse[i] / over : 0;
  }
  for (double logprob : to_doubles(head.logprobs.value())) result.mean -= logprob / over;
  result.root = {head.logprobs, dlogprobs};
  return result;
}

LossResult run(Transformer& model, const Examples& examples, const LossSettings& settings, Tape* tape) {
  Backend& backend = model.backend();
  Pass pass;
  pass.batch = make_batch(backend, examples.ids, examples.lengths);
  pass.with_balance_loss = tape && settings.balance_weight != 0;
  pass.count_load = settings.count_load;
  Var hidden = model.hidden(pass);
  const CrossEntropy main =
      cross_entropy(model, hidden, targets_at(examples, 1), 1, settings.main_tokens, settings.z_weight);
  LossResult result{.loss = main.mean, .z_loss = main.z_loss, .tokens = main.count};
  std::vector<Tape::Root> roots{main.root};
  if (settings.mtp_weight != 0) {
    const Var ahead = model.mtp_hidden(hidden, Tensor::from_host(backend, next_ids(examples)), pass);
    const CrossEntropy mtp =
        cross_entropy(model, ahead, targets_at(examples, 2), settings.mtp_weight, settings.mtp_tokens, 0);
    result.mtp_loss = mtp.mean;
    roots.push_back(mtp.root);
  }
  for (const Var& balance : pass.balance_losses) {
    const DType dtype = balance.value().dtype();
    result.balance_loss += to_doubles(balance.value())[0] / double(pass.balance_losses.size());
    roots.push_back({balance, to_device(backend, dtype, {settings.balance_weight * settings.balance_share})});
  }
  require(std::isfinite(result.loss + result.mtp_loss + result.balance_loss), ErrorKind::kNumeric,
          "the loss is {} (multi-token prediction {}): expected a finite number", result.loss, result.mtp_loss);
  hidden = Var();  // the tape keeps what it needs of it
  if (tape) tape->backward(roots);
  return result;
}

}  // namespace

LossResult loss_and_gradients(Transformer& model, const Examples& examples, const LossSettings& settings) {
  Tape tape(settings.recompute);
  return run(model, examples, settings, &tape);
}

LossResult loss_only(Transformer& model, const Examples& examples, const LossSettings& settings) {
  NoGrad off;
  return run(model, examples, settings, nullptr);
}

}  // namespace tenth
