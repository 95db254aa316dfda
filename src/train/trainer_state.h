// What a stopped run needs, beside the weights, to go on to the same bits: the folder trainer_state/ inside a model
// folder, with state.json (stage, step, optimizer steps) and optimizer.safetensors. Data and random numbers are pure
// functions of the seed and the step, so the step is the cursor of the data and the state of every generator.
#pragma once
#include <string>

#include "base/files.h"
#include "checkpoint/model_folder.h"
#include "nn/transformer.h"
#include "optim/optimizer.h"
#include "train/report.h"

namespace tenth {

struct Progress {
  std::string stage;  // one of stage_names()
  int64_t step = 0;   // steps of it that are done
};
const std::vector<std::string>& stage_names();  // train, sft, rl: the order in which a run goes through them
// Whether a comes before b in a run.
bool operator<(const Progress& a, const Progress& b);

// A copy of all that goes on from step to step, which training may leave behind while it is written.
struct TrainerState {
  ModelFiles model;
  std::vector<TensorToWrite> optimizer;
  int64_t optimizer_steps = 0;
  Progress progress;

  size_t bytes() const;  // about what its files take
};
TrainerState copy_state(Transformer& model, const Optimizer& optimizer, const Progress& progress);

// Model files, trainer_state/ and, last, the manifest into an existing folder.
void write_state(const Path& folder, const TrainerState& state);

// Of a folder that write_state filled. They throw kInput where a file does not fit.
Progress read_progress(const Path& folder);
void load_optimizer(const Path& folder, Optimizer& optimizer);

// <run>/expert_load.json: what stages leave for the report as they finish; an older entry of the stage is replaced.
void add_expert_load(const Path& run_dir, const ExpertLoad& load);
std::vector<ExpertLoad> read_expert_loads(const Path& run_dir);  // none where there is no file

}  // namespace tenth
