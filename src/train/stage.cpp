#include "train/stage.h"

#include <algorithm>
#include <cmath>

#include "base/interrupt.h"
#include "train/progress.h"

namespace tenth {
namespace {

int64_t mtp_targets(const Examples& examples) {
  const std::vector<int32_t> targets = targets_at(examples, 2);
  return std::count_if(targets.begin(), targets.end(), [](int32_t t) { return t >= 0; });
}

// One step's batches, with the divisors that make their gradients add up to those of one large batch.
struct StepData {
  std::vector<Examples> batches;
  int64_t tokens = 0, main_targets = 0, mtp_targets = 0;
};

StepData step_data(const Dataset& data, int64_t step, int64_t accumulate) {
  StepData all;
  for (int64_t i = 0; i < accumulate; i++) {
    all.batches.push_back(data.batch(step * accumulate + i));
    const Examples& examples = all.batches.back();
    all.tokens += examples.tokens();
    all.main_targets += examples.scored_tokens();
    all.mtp_targets += mtp_targets(examples);
  }
  return all;
}

}  // namespace

Schedule::Kind schedule_kind(const std::string& name) {
  if (name == "linear") return Schedule::Kind::kLinear;
  if (name == "cosine") return Schedule::Kind::kCosine;
  if (name == "wsd") return Schedule::Kind::kWsd;
  return Schedule::Kind::kConstant;
}

OptimizerOptions optimizer_options(const Recipe& recipe, const std::string& section) {
  OptimizerOptions options;
  const auto key = [&](const char* name) { return section + "." + name; };
  const bool muon = recipe.text(key("optimizer")) == "muon";
  options.kind = muon ? OptimizerOptions::Kind::kMuon : OptimizerOptions::Kind::kAdamW;
  options.lr = recipe.real(key("lr"));
  options.adam_lr = muon ? recipe.real(key("adam_lr")) : options.lr;
  return options;
}

StageSettings stage_settings(const Recipe& recipe, const std::string& section) {
  const std::string optim_section = section == "train" ? "optim" : section;
  const auto key = [&](const char* name) { return section + "." + name; };
  const auto optim = [&](const char* name) { return optim_section + "." + name; };
  StageSettings s;
  s.name = section;
  s.steps = recipe.integer(key("steps"));
  s.accumulate = recipe.integer(key("accumulate"));
  s.optimizer = optimizer_options(recipe, optim_section);
  s.optimizer.weight_decay = recipe.real(optim("weight_decay"));
  // One step more than there are, looked at from 1: neither the first nor the last update has a rate of 0.
  s.schedule = {.kind = schedule_kind(recipe.text(optim("schedule"))),
                .total = s.steps + 1,
                .warmup = recipe.integer(optim("warmup_steps")),
                .min_share = recipe.real(optim("min_lr_share")),
                .decay_share = recipe.real(optim("decay_share"))};
  s.clip = recipe.real(optim("clip"));
  s.mtp_weight = recipe.real(key("mtp_weight"));
  s.balance_weight = recipe.real(key("balance_loss"));
  s.bias_update_rate = recipe.real(key("bias_update_rate"));
  return s;
}

double apply_update(Transformer& model, Optimizer& optimizer, double lr_factor, double clip) {
  const double norm = global_norm(model.parameters());
  require(std::isfinite(norm), ErrorKind::kNumeric, "the gradient's norm is {}: expected a finite number", norm);
  optimizer.step(lr_factor, clip > 0 ? clip_factor(norm, clip) : 1);
  model.refresh();
  model.zero_gradients();
  return norm;
}

void checkpoint_if_due(const RunContext& run, Transformer& model, const Optimizer& optimizer, const Progress& progress,
                       int64_t steps) {
  const bool stop = interrupted();
  const bool due = run.checkpoint_every > 0 && progress.step % run.checkpoint_every == 0;
  if (!stop && !due && progress.step < steps) return;
  save_checkpoint(run.run_dir, model, optimizer, progress);
  require(!stop, ErrorKind::kIo,
          "interrupted after {} step {}; all of it is saved: the same command with --resume goes on", progress.stage,
          progress.step);
}

double max_violation(const Transformer& model) {
  double worst = 0;
  for (const MoE* mixture : model.mixtures()) {
    int64_t total = 0, largest = 0;
    for (int64_t count : mixture->load()) {
      total += count;
      largest = std::max(largest, count);
    }
    if (total > 0) worst = std::max(worst, double(largest) * double(mixture->load().size()) / double(total) - 1);
  }
  return worst;
}

namespace {

ExpertLoad expert_load(const Transformer& model, const std::string& stage) {
  ExpertLoad load{.stage = stage, .layers = {}, .loads = {}};
  const ModelConfig& config = model.config();
  for (int64_t layer = 0; layer <= config.num_hidden_layers; layer++) {
    const bool mtp = layer == config.num_hidden_layers;
    if (config.n_routed_experts > 0 && (mtp ? model.has_mtp() : bool(config.sparse_layer[size_t(layer)])))
      load.layers.push_back(int(layer));
  }
  for (const MoE* mixture : model.mixtures()) {
    int64_t total = 0;
    for (int64_t count : mixture->load()) total += count;
    std::vector<double> shares;
    for (int64_t count : mixture->load())
      shares.push_back(total ? double(count) * double(mixture->load().size()) / double(total) : 0);
    load.loads.push_back(shares);
  }
  return load;
}

struct StepResult {
  LossResult loss;
  double norm = 0, flops = 0;
};

StepResult train_step(Transformer& model, Optimizer& optimizer, const StageSettings& s, const StepData& data,
                      double lr_factor) {
  const bool with_mtp = model.has_mtp() && s.mtp_weight != 0;
  const ModelSize size = with_mtp ? model_size(model.config()) : trunk_size(model.config());
  for (MoE* mixture : model.mixtures()) mixture->reset_load();
  const LossSettings settings{.mtp_weight = with_mtp ? s.mtp_weight : 0,
                              .balance_weight = s.balance_weight,
                              .count_load = true,
                              .main_tokens = data.main_targets,
                              .mtp_tokens = data.mtp_targets,
                              .balance_share = 1 / double(s.accumulate)};
  StepResult result;
  for (const Examples& examples : data.batches) {
    const LossResult part = loss_and_gradients(model, examples, settings);
    result.loss.loss += part.loss;
    result.loss.mtp_loss += part.mtp_loss;
    result.loss.balance_loss += part.balance_loss * settings.balance_share;
    for (int32_t length : examples.lengths) result.flops += size.training_flops(length) * length;
  }
  result.norm = apply_update(model, optimizer, lr_factor, s.clip);
  result.flops += optimizer.step_flops();
  for (MoE* mixture : model.mixtures()) mixture->update_bias(s.bias_update_rate);
  return result;
}

}  // namespace

void run_stage(Transformer& model, const Dataset& data, const StageSettings& s, const RunContext& run) {
  model.set_training(true);
  Optimizer optimizer(model.parameters(), s.optimizer);
  int64_t step = 0;
  if (run.resume) {
    load_optimizer(run.run_dir, optimizer);
    step = run.resume->step;
  }
  if (step == 0) run.metrics.write(s.name, 0, {});  // when the stage began
  ProgressLine progress(s.name, s.steps, run.peak_flops, step);
  for (; step < s.steps; step++) {
    const StepData batches = step_data(data, step, s.accumulate);
    const double factor = learning_rate_factor(s.schedule, step + 1);
    const StepResult result = in_step(s.name, step, [&] { return train_step(model, optimizer, s, batches, factor); });
    run.metrics.write(s.name, step + 1,
                      {{"loss", result.loss.loss},
                       {"mtp_loss", result.loss.mtp_loss},
                       {"balance_loss", result.loss.balance_loss},
                       {"max_violation", max_violation(model)},
                       {"grad_norm", result.norm},
                       {"lr_factor", factor},
                       {"tokens", double(batches.tokens)},
                       {"flops", result.flops}});
    progress.update(
        {.step = step + 1, .loss = result.loss.loss, .tokens = double(batches.tokens), .flops = result.flops});
    if (step + 1 == s.steps) add_expert_load(run.run_dir, expert_load(model, s.name));
    checkpoint_if_due(run, model, optimizer, {s.name, step + 1}, s.steps);
  }
  progress.finish();
}

StageSummary stage_summary(const MetricsWriter& metrics, const std::string& stage, double peak_flops) {
  StageSummary summary{.name = stage};
  double flops = 0, before = 0;  // wall of the record before
  for (const MetricRecord& record : metrics.records()) {
    if (record.stage == stage && record.step > 0) {
      summary.steps++;
      summary.seconds += record.wall - before;
      for (const auto& [name, value] : record.values) {
        if (name == "tokens") summary.tokens += value;
        if (name == "flops") flops += value;
      }
    }
    before = record.wall;
  }
  if (flops > 0 && summary.seconds > 0 && peak_flops > 0) summary.peak_share = flops / summary.seconds / peak_flops;
  return summary;
}

}  // namespace tenth
