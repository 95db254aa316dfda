// What a stopped run needs, beside the weights, to go on to the same bits: the folder trainer_state/ inside a model
// folder, with state.json (stage, step, optimizer steps) and optimizer.safetensors. Data and random numbers are pure
// functions of the seed and the step, so nothing of them is stored.
#pragma once
#include <optional>
#include <string>

#include "base/files.h"
#include "nn/transformer.h"
#include "optim/optimizer.h"
#include "train/report.h"

namespace tenth {

struct Progress {
  std::string stage;  // "train", "sft", "rl"
  int64_t step = 0;   // steps of it that are done
};

// Replaces <run>/checkpoint by model, optimizer and progress; whole or not at all.
void save_checkpoint(const Path& run_dir, Transformer& model, const Optimizer& optimizer, const Progress& progress);
// Where the run stopped, or nothing if it has no checkpoint.
std::optional<Progress> checkpoint_progress(const Path& run_dir);
// Fills the optimizer's state from it. Throws kInput where it does not fit.
void load_optimizer(const Path& run_dir, Optimizer& optimizer);
Path checkpoint_folder(const Path& run_dir);

// <run>/expert_load.json: what stages leave for the report as they finish; an older entry of the stage is replaced.
void add_expert_load(const Path& run_dir, const ExpertLoad& load);
std::vector<ExpertLoad> read_expert_loads(const Path& run_dir);  // none where there is no file

}  // namespace tenth
