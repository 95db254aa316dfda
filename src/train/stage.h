// One supervised stage (pretraining or SFT): batches, loss, gradients, clipping, update, metrics.
#pragma once
#include <functional>
#include <string>

#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/dataset.h"
#include "train/metrics.h"
#include "train/recipe.h"
#include "train/report.h"
#include "train/stage_loop.h"

namespace tenth {

struct StageSettings {
  std::string name;  // the recipe's section
  int64_t steps = 0, accumulate = 1;
  bool recompute = false;
  OptimizerOptions optimizer;
  Schedule schedule;
  double clip = 0;
  double balance_weight = 0, z_weight = 0;
  double mtp_weight = 0, mtp_weight_final = 0, mtp_switch = 1;  // the latter from this share of the steps on
  double bias_update_rate = 0, bias_update_until = 1;           // 0 from this share of the steps on
  int64_t batch_ramp_steps = 0;  // accumulate rises linearly over these, from batch_ramp_from of itself
  double batch_ramp_from = 1;
  int64_t context = 0;  // most tokens of a sequence, which rises linearly from context_warmup_from over these steps
  int64_t context_warmup_steps = 0, context_warmup_from = 0;
};
StageSettings stage_settings(const Recipe& recipe, const std::string& section);
// What every section has of these.
OptimizerOptions optimizer_options(const Recipe& recipe, const std::string& section);
Schedule::Kind schedule_kind(const std::string& name);

// Clips and applies the gradients: the one update of every stage. Throws kNumeric before any weight is touched where
// they are not finite, or far outside what the watch has seen. Returns their norm.
double apply_update(Transformer& model, Optimizer& optimizer, double lr_factor, double clip,
                    const NormWatch& watch = {});

// The largest expert load over the even share, minus 1; 0 without mixtures. Resets nothing.
double max_violation(const Transformer& model);

void run_stage(Transformer& model, const Dataset& data, const StageSettings& settings, const RunContext& run);

// A stage's row in the report, from its records: so it covers the parts of a run that was resumed.
StageSummary stage_summary(const MetricsWriter& metrics, const std::string& stage, double peak_flops);

}  // namespace tenth
