// One supervised stage (pretraining or SFT): batches, loss, gradients, clipping, update, metrics, progress,
// checkpoints.
#pragma once
#include <functional>
#include <string>

#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/dataset.h"
#include "train/metrics.h"
#include "train/recipe.h"
#include "train/report.h"
#include "train/trainer_state.h"

namespace tenth {

struct StageSettings {
  std::string name;  // the recipe's section
  int64_t steps = 0, accumulate = 1;
  OptimizerOptions optimizer;
  Schedule schedule;
  double clip = 0;
  double mtp_weight = 0, balance_weight = 0, bias_update_rate = 0;
};
StageSettings stage_settings(const Recipe& recipe, const std::string& section);
// The options of an optimizer and its schedule as every section has them; min_lr_share and the like may be missing.
OptimizerOptions optimizer_options(const Recipe& recipe, const std::string& section);

// What a stage needs of the run around it.
struct RunContext {
  Path run_dir;
  MetricsWriter& metrics;
  double peak_flops = 0;  // of this machine, a second
  int64_t checkpoint_every = 0;
  std::optional<Progress> resume;  // set only for the stage that was cut
};

// Scales, clips and applies the gradients: the one update of every stage. Throws kNumeric, naming the step, before any
// weight is touched where the gradients are not finite. Returns the gradients' norm.
double apply_update(Transformer& model, Optimizer& optimizer, double lr_factor, double clip, const std::string& stage,
                    int64_t step);

// Saves where the recipe's interval or an interrupt asks for it; throws kIo "interrupted …" in the latter case.
void checkpoint_if_due(const RunContext& run, Transformer& model, const Optimizer& optimizer, const Progress& progress);

// The largest expert load over the even share, minus 1; 0 without mixtures. Resets nothing.
double max_violation(const Transformer& model);
ExpertLoad expert_load(const Transformer& model, const std::string& stage);

StageSummary run_stage(Transformer& model, const Dataset& data, const StageSettings& settings, const RunContext& run);

}  // namespace tenth
