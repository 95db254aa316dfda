#include "rl/grpo.h"

#include <algorithm>
#include <cmath>

#include "engine/generator.h"
#include "eval/graded.h"
#include "ops/logprobs.h"
#include "rl/rollout.h"

namespace tenth {

RlSettings rl_settings(const Recipe& recipe) {
  RlSettings s;
  s.steps = recipe.integer("rl.steps");
  s.prompts = recipe.integer("rl.prompts");
  s.samples = recipe.integer("rl.samples");
  s.updates = recipe.integer("rl.updates");
  s.temperature = recipe.real("rl.temperature");
  s.max_new_tokens = int32_t(recipe.integer("rl.max_new_tokens"));
  s.optimizer = optimizer_options(recipe, "rl");
  s.schedule = {.kind = schedule_kind(recipe.text("rl.schedule")),
                .total = s.steps + 1,
                .warmup = recipe.integer("rl.warmup_steps")};
  s.clip = recipe.real("rl.clip");
  s.loss = policy_loss_config(recipe.text("rl.variant"));
  if (const double clip = recipe.real("rl.clip_low"); clip > 0) s.loss.clip_low = clip;
  if (const double clip = recipe.real("rl.clip_high"); clip > 0) s.loss.clip_high = clip;
  s.loss.beta = recipe.real("rl.kl");
  s.loss.constant_length = s.max_new_tokens;
  if (!recipe.flag("rl.normalize_std")) s.loss.advantage = AdvantageScale::kNone;
  s.dynamic_sampling = recipe.flag("rl.dynamic_sampling");
  s.routing_replay = recipe.flag("rl.routing_replay");
  s.eval_every = recipe.integer("rl.eval_every");
  s.samples_shown = recipe.integer("run.samples_shown");
  s.seed = uint64_t(recipe.integer("run.seed"));
  return s;
}

namespace {

// Means over the tokens of one step's updates; not a number in a step that had nothing to learn from.
struct StepMetrics {
  double gap = 0, gap_max = 0, entropy = 0, clip_fraction = 0, approx_kl = 0, reference_kl = 0;
  double loss = 0, grad_norm = 0;  // of the last update
  int64_t tokens = 0, gap_tokens = 0;

  void add(const PolicyLoss& loss, double batch_entropy) {
    const double n = double(loss.metrics.tokens);
    entropy += batch_entropy;
    clip_fraction += n * (loss.metrics.clip_fraction_low + loss.metrics.clip_fraction_high);
    approx_kl += n * loss.metrics.approx_kl;
    reference_kl += n * loss.metrics.mean_kl;
    this->loss += loss.loss;
    tokens += loss.metrics.tokens;
  }
  void finish() {
    gap /= double(gap_tokens);
    for (double* sum : {&entropy, &clip_fraction, &approx_kl, &reference_kl}) *sum /= double(tokens);
    if (tokens == 0) gap_max = loss = grad_norm = std::nan("");
  }
};

// Rows of a rollout as one batch: prompt and answer, the answers' tokens as targets.
struct RowBatch {
  Examples examples;
  std::vector<int64_t> row_lengths;
  std::vector<double> sampler_logprobs, advantages;
};

RowBatch make_row_batch(std::span<const RolloutRow> rows) {
  RowBatch batch;
  for (const RolloutRow& row : rows) {
    std::vector<int32_t> ids = row.prompt;
    ids.insert(ids.end(), row.completion.ids.begin(), row.completion.ids.end());
    batch.examples.add(ids, row.prompt.size());
    batch.row_lengths.push_back(int64_t(row.completion.ids.size()));
    batch.advantages.push_back(row.advantage);
    batch.sampler_logprobs.insert(batch.sampler_logprobs.end(), row.completion.logprobs.begin(),
                                  row.completion.logprobs.end());
  }
  return batch;
}

// The sampler's experts by mixture, (N, K) each. A sequence's last token was never fed to the sampler; nothing depends
// on what its mixtures do, so it takes the first K experts.
Routings routings_of(std::span<const RolloutRow> rows, Backend& backend, size_t mixtures, size_t k) {
  std::vector<std::vector<int32_t>> lists(mixtures);
  for (const RolloutRow& row : rows) {
    const std::vector<int32_t>& experts = row.completion.experts;
    const size_t fed = experts.size() / (mixtures * k);
    for (size_t m = 0; m < mixtures; m++) {
      for (size_t t = 0; t < fed; t++) {
        const auto from = experts.begin() + std::ptrdiff_t((t * mixtures + m) * k);
        lists[m].insert(lists[m].end(), from, from + std::ptrdiff_t(k));
      }
      for (size_t i = 0; i < k; i++) lists[m].push_back(int32_t(i));
    }
  }
  Routings routings;
  for (const std::vector<int32_t>& list : lists) {
    routings.push_back(Tensor::from_host<int32_t>(backend, list, {int64_t(list.size() / k), int64_t(k)}));
  }
  return routings;
}

std::vector<double> at_targets(const Tensor& values, const std::vector<int32_t>& targets) {
  std::vector<double> picked;
  const auto pick = [&](const auto& all) {
    for (size_t i = 0; i < targets.size(); i++) {
      if (targets[i] >= 0) picked.push_back(double(all[i]));
    }
  };
  if (values.dtype() == DType::kF64)
    pick(values.to_host<double>());
  else
    pick(values.to_host<float>());
  return picked;
}

class PolicyTrainer {
 public:
  PolicyTrainer(Transformer& model, Transformer* reference, const RlSettings& settings)
      : model_(model),
        reference_(reference),
        s_(settings),
        main_mixtures_(model.mixtures().size() - (model.has_mtp() && !model.mixtures().empty())) {}

  // Adds the gradients of rows' part of the loss; first: the weights are still the sampler's, so the gap is measured.
  void accumulate(std::span<const RolloutRow> rows, int64_t all_rows, int64_t all_tokens, bool first,
                  StepMetrics& metrics) {
    const RowBatch batch = make_row_batch(rows);
    const std::vector<int32_t> targets = targets_at(batch.examples, 1);
    std::vector<double> reference_logprobs;
    if (reference_) {
      NoGrad off;
      reference_logprobs = at_targets(forward(*reference_, batch, rows, targets).logprobs.value(), targets);
    }
    Tape tape;
    const ops::TokenLogprobs out = forward(model_, batch, rows, targets);
    const std::vector<double> logprobs = at_targets(out.logprobs.value(), targets);
    if (first) {
      for (size_t i = 0; i < logprobs.size(); i++) {
        const double gap = std::abs(logprobs[i] - batch.sampler_logprobs[i]);
        metrics.gap += gap;
        metrics.gap_max = std::max(metrics.gap_max, gap);
      }
      metrics.gap_tokens += int64_t(logprobs.size());
    }
    const PolicyLoss loss = policy_loss(s_.loss, {.logprobs = logprobs,
                                                  .old_logprobs = batch.sampler_logprobs,
                                                  .reference_logprobs = reference_logprobs,
                                                  .row_lengths = batch.row_lengths,
                                                  .advantages = batch.advantages,
                                                  .batch_rows = all_rows,
                                                  .batch_tokens = all_tokens});
    double entropy = 0;
    for (double e : at_targets(out.entropy, targets)) entropy += e;
    metrics.add(loss, entropy);
    std::vector<float> gradient(targets.size(), 0);
    for (size_t i = 0, t = 0; i < targets.size(); i++) {
      if (targets[i] >= 0) gradient[i] = float(loss.dlogprobs[t++]);
    }
    const Tape::Root root{out.logprobs, Tensor::from_host(model_.backend(), gradient)};
    tape.backward({&root, 1});
  }

 private:
  ops::TokenLogprobs forward(Transformer& model, const RowBatch& batch, std::span<const RolloutRow> rows,
                             const std::vector<int32_t>& targets) {
    Backend& backend = model.backend();
    Pass pass;
    pass.batch = make_batch(backend, batch.examples.ids, batch.examples.lengths);
    Routings routings;
    if (s_.routing_replay && main_mixtures_ > 0) {
      routings = routings_of(rows, backend, main_mixtures_, size_t(model.config().gate.experts_per_token));
      pass.replay = &routings;
    }
    return ops::linear_logprobs(model.hidden(pass), model.head(), Tensor::from_host(backend, targets),
                                {.with_entropy = true, .temperature = s_.temperature});
  }

  Transformer& model_;
  Transformer* reference_;
  const RlSettings& s_;
  size_t main_mixtures_;  // without the multi-token prediction module's
};

int64_t tokens_of(std::span<const RolloutRow> rows) {
  int64_t tokens = 0;
  for (const RolloutRow& row : rows) tokens += int64_t(row.completion.ids.size());
  return tokens;
}

// One optimizer step per part of the rollout, each through micro-batches of bounded size.
StepMetrics update(Transformer& model, Optimizer& optimizer, PolicyTrainer& trainer, std::span<RolloutRow> rows,
                   const RlSettings& s, double lr_factor, const NormWatch& norms) {
  StepMetrics metrics;
  // Rows of a group stand together; the parts take every updates-th row, so each sees all groups.
  std::vector<std::vector<RolloutRow>> parts(size_t(s.updates));
  for (size_t i = 0; i < rows.size(); i++) parts[i % parts.size()].push_back(std::move(rows[i]));
  for (size_t u = 0; u < parts.size(); u++) {
    const std::span<const RolloutRow> part = parts[u];
    if (part.empty()) continue;
    metrics.loss = 0;
    const int64_t all_tokens = tokens_of(part);
    for (size_t begin = 0; begin < part.size();) {
      size_t end = begin;
      for (int64_t tokens = 0; end < part.size() && tokens < s.micro_batch_tokens; end++) {
        tokens += int64_t(part[end].prompt.size() + part[end].completion.ids.size());
      }
      trainer.accumulate(part.subspan(begin, end - begin), int64_t(part.size()), all_tokens, u == 0, metrics);
      begin = end;
    }
    metrics.grad_norm = apply_update(model, optimizer, lr_factor, s.clip, norms);
  }
  metrics.finish();
  return metrics;
}

}  // namespace

void run_grpo(Transformer& model, Transformer* reference, const Tokenizer& tokenizer, const Task& task,
              const RlSettings& s, const RunContext& run) {
  model.set_training(true);
  Optimizer optimizer(model.parameters(), s.optimizer);
  StageLoop loop(run, "rl", s.steps, model, optimizer);
  Generator generator(model, {.slots = s.prompts * s.samples,
                              .cache = CacheForm::kExpanded,
                              .record_routing = s.routing_replay,
                              .logprob_temperature = s.temperature});
  PolicyTrainer trainer(model, reference, s);
  const std::vector<Problem> held_out = task.held_out(int(s.eval_problems));
  const ModelSize size = trunk_size(model.config());
  std::optional<double> accuracy;
  for (int64_t step = loop.first_step(); step < s.steps; step++) {
    if (loop.skips(step)) {
      loop.done(step + 1, std::nan(""));
      continue;
    }
    Rollout rollout = loop.guard(step, {}, [&] { return roll_out(generator, tokenizer, task, s, step); });
    double flops = 0;
    for (const RolloutRow& row : rollout.rows) {
      const double length = double(row.prompt.size() + row.completion.ids.size());
      flops += size.training_flops(int64_t(length)) * length * 4 / 3;  // sampled forward, then trained
    }
    const double factor = learning_rate_factor(s.schedule, step + 1);
    const Examples batch = make_row_batch(rollout.rows).examples;
    const StepMetrics m = loop.guard(
        step, {&batch, 1}, [&] { return update(model, optimizer, trainer, rollout.rows, s, factor, loop.norms()); });
    NamedValues values = {{"reward", rollout.reward},
                          {"length", rollout.length},
                          {"truncated", rollout.truncated},
                          {"thinking", rollout.thinking},
                          {"zero_variance", double(rollout.zero_variance_groups) / double(rollout.groups)},
                          {"entropy", m.entropy},
                          {"logprob_gap", m.gap},
                          {"logprob_gap_max", m.gap_max},
                          {"clip_fraction", m.clip_fraction},
                          {"approx_kl", m.approx_kl},
                          {"reference_kl", m.reference_kl},
                          {"loss", m.loss},
                          {"grad_norm", m.grad_norm},
                          {"tokens", double(rollout.new_tokens)},
                          {"flops", flops}};
    if (s.eval_every > 0 && (step + 1) % s.eval_every == 0) {
      const GradedResult graded = evaluate(model, tokenizer, task, held_out, {.max_new_tokens = s.max_new_tokens});
      put_samples(run.run_dir, "rl", step + 1, first_samples(graded, held_out, s.samples_shown));
      accuracy = graded.evaluation.accuracy;
      values.push_back({"accuracy", *accuracy});
    }
    run.metrics.write("rl", step + 1, values);
    loop.progress().update({.step = step + 1,
                            .reward = rollout.reward,
                            .accuracy = accuracy,
                            .tokens = double(rollout.new_tokens),
                            .flops = flops});
    loop.done(step + 1, m.grad_norm);
  }
  loop.progress().finish();
}

}  // namespace tenth
