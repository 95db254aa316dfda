#include "train/stage.h"

#include <algorithm>
#include <cmath>

#include "checkpoint/model_folder.h"
#include "train/step_plan.h"

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

StepData step_data(const Dataset& data, const StageSettings& s, int64_t step) {
  StepData all;
  const int64_t first = batches_before(s, step), count = batches_at(s, step), context = context_at(s, step);
  for (int64_t i = 0; i < count; i++) {
    all.batches.push_back(data.batch(first + i));
    if (context > 0) cut_sequences(all.batches.back(), context);
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

namespace {

Schedule::Decay decay_shape(const std::string& name) {
  if (name == "cosine") return Schedule::Decay::kCosine;
  if (name == "one_minus_sqrt") return Schedule::Decay::kOneMinusSqrt;
  return Schedule::Decay::kLinear;
}

MuonVariant muon_variant(const std::string& name) {
  if (name == "v4") return MuonVariant::kV4;
  if (name == "polar_express") return MuonVariant::kPolarExpress;
  return MuonVariant::kKeller;
}

}  // namespace

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
  s.recompute = recipe.flag(key("recompute"));
  s.optimizer = optimizer_options(recipe, optim_section);
  s.optimizer.weight_decay = recipe.real(optim("weight_decay"));
  s.optimizer.variant = muon_variant(recipe.text(optim("muon_variant")));
  s.optimizer.muon_products = recipe.text(optim("muon_dtype")) == "bf16" ? DType::kBF16 : DType::kF32;
  s.optimizer.normalize_rows = recipe.flag(optim("normuon"));
  s.optimizer.cautious_decay = recipe.flag(optim("cautious_decay"));
  s.optimizer.ema_decay = recipe.real(key("ema_decay"));
  // One step more than there are, looked at from 1: neither the first nor the last update has a rate of 0.
  s.schedule = {.kind = schedule_kind(recipe.text(optim("schedule"))),
                .total = s.steps + 1,
                .warmup = recipe.integer(optim("warmup_steps")),
                .min_share = recipe.real(optim("min_lr_share")),
                .decay_share = recipe.real(optim("decay_share")),
                .decay = decay_shape(recipe.text(optim("decay_shape")))};
  s.clip = recipe.real(optim("clip"));
  s.mtp_weight = recipe.real(key("mtp_weight"));
  s.mtp_weight_final = recipe.real(key("mtp_weight_final"));
  s.mtp_switch = recipe.real(key("mtp_switch"));
  s.z_weight = recipe.real(key("z_loss"));
  s.batch_ramp_steps = recipe.integer(key("batch_ramp_steps"));
  s.batch_ramp_from = recipe.real(key("batch_ramp_from"));
  s.bias_update_until = recipe.real(key("bias_update_until"));
  if (section == "train") {
    s.context = recipe.integer("data.context");
    s.context_warmup_steps = recipe.integer("train.context_warmup_steps");
    s.context_warmup_from = recipe.integer("train.context_warmup_from");
  }
  s.balance_weight = recipe.real(key("balance_loss"));
  s.bias_update_rate = recipe.real(key("bias_update_rate"));
  return s;
}

double apply_update(Transformer& model, Optimizer& optimizer, double lr_factor, double clip, const NormWatch& watch) {
  const double norm = global_norm(model.parameters());
  watch.check(norm);
  optimizer.step(lr_factor, clip > 0 ? clip_factor(norm, clip) : 1);
  model.refresh();
  model.zero_gradients();
  return norm;
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
  LossResult loss = {};
  double norm = 0, flops = 0;
};

StepResult train_step(Transformer& model, Optimizer& optimizer, const StageSettings& s, const StepData& data,
                      int64_t step, double lr_factor, const NormWatch& norms) {
  const double mtp_weight = model.has_mtp() ? mtp_weight_at(s, step) : 0;
  const ModelSize size = mtp_weight != 0 ? model_size(model.config()) : trunk_size(model.config());
  for (MoE* mixture : model.mixtures()) mixture->reset_load();
  const LossSettings settings{.mtp_weight = mtp_weight,
                              .balance_weight = s.balance_weight,
                              .z_weight = s.z_weight,
                              .count_load = true,
                              .recompute = s.recompute,
                              .main_tokens = data.main_targets,
                              .mtp_tokens = data.mtp_targets,
                              .balance_share = 1 / double(data.batches.size())};
  StepResult result;
  for (const Examples& examples : data.batches) {
    const LossResult part = loss_and_gradients(model, examples, settings);
    result.loss.loss += part.loss;
    result.loss.mtp_loss += part.mtp_loss;
    result.loss.z_loss += part.z_loss;
    result.loss.balance_loss += part.balance_loss * settings.balance_share;
    for (int32_t length : examples.lengths) result.flops += size.training_flops(length) * length;
  }
  result.norm = apply_update(model, optimizer, lr_factor, s.clip, norms);
  result.flops += optimizer.step_flops();
  for (MoE* mixture : model.mixtures()) mixture->update_bias(bias_update_rate_at(s, step));
  return result;
}

// The stage's result is the mean of the weights; the latest ones are saved beside it, and stand in the last checkpoint
// as the mean does in those before.
void end_with_average(Transformer& model, Optimizer& optimizer, const Path& raw_folder) {
  replace_folder(raw_folder, [&](const Path& beside) { save_model(beside, model, DType::kF32); });
  optimizer.swap_average();
  model.refresh();
}

}  // namespace

void run_stage(Transformer& model, const Dataset& data, const StageSettings& s, const RunContext& run) {
  model.set_training(true);
  Optimizer optimizer(model.parameters(), s.optimizer);
  StageLoop loop(run, s.name, s.steps, model, optimizer);
  if (loop.first_step() == 0) run.metrics.write(s.name, 0, {});  // when the stage began
  for (int64_t step = loop.first_step(); step < s.steps; step++) {
    StepResult result{.norm = std::nan("")};
    if (!loop.skips(step)) {
      const StepData batches = step_data(data, s, step);
      const double factor = learning_rate_factor(s.schedule, step + 1);
      result = loop.guard(step, batches.batches,
                          [&] { return train_step(model, optimizer, s, batches, step, factor, loop.norms()); });
      run.metrics.write(s.name, step + 1,
                        {{"loss", result.loss.loss},
                         {"mtp_loss", result.loss.mtp_loss},
                         {"balance_loss", result.loss.balance_loss},
                         {"z_loss", result.loss.z_loss},
                         {"max_violation", max_violation(model)},
                         {"grad_norm", result.norm},
                         {"lr_factor", factor},
                         {"tokens", double(batches.tokens)},
                         {"flops", result.flops}});
      loop.progress().update(
          {.step = step + 1, .loss = result.loss.loss, .tokens = double(batches.tokens), .flops = result.flops});
    }
    // Now and then too: who watches the run sees it move. Before what measures runs the model.
    if (step + 1 == s.steps || (step + 1) % std::max<int64_t>(1, s.steps / 50) == 0)
      add_expert_load(run.run_dir, expert_load(model, s.name));
    if (step + 1 == s.steps && s.optimizer.ema_decay > 0)
      end_with_average(model, optimizer, run.run_dir / (s.name + "_raw"));
    if (run.measure) {
      if (const NamedValues values = run.measure(step + 1); !values.empty())
        run.metrics.write(s.name, step + 1, values);
    }
    loop.done(step + 1, result.norm);
  }
  loop.progress().finish();
}

StageSummary stage_summary(const MetricsWriter& metrics, const std::string& stage, double peak_flops) {
  StageSummary summary{.name = stage};
  double flops = 0, before = 0;  // wall of the record before
  for (const MetricRecord& record : metrics.records()) {
    const auto value = [&](const char* name) {
      const auto at =
          std::find_if(record.values.begin(), record.values.end(), [&](const auto& v) { return v.first == name; });
      return at == record.values.end() ? std::nullopt : std::optional(at->second);
    };
    if (const auto tokens = value("tokens"); tokens && record.stage == stage) {  // else a measurement
      summary.steps++;
      summary.seconds += record.wall - before;
      summary.tokens += *tokens;
      flops += value("flops").value_or(0);
    }
    before = record.wall;
  }
  if (flops > 0 && summary.seconds > 0 && peak_flops > 0) summary.peak_share = flops / summary.seconds / peak_flops;
  return summary;
}

}  // namespace tenth
