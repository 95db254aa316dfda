// A recipe from beginning to end: pretrain -> SFT -> evaluation -> GRPO -> evaluation -> report.
#pragma once
#include "nn/config.h"
#include "tokenizer/tokenizer.h"
#include "train/recipe.h"
#include "train/report.h"
#include "train/trainer_state.h"

namespace tenth {

struct PipelineOptions {
  Path run_dir;
  std::string recipe_file;  // for the report
  bool resume = false;      // go on from the newest whole one of <run>/checkpoints
  // Save and stop when so many steps of the stage are done: throws Stopped.
  std::optional<Progress> stop_at = {};
};

// The model that a recipe's model.* keys describe. Throws kInput, naming the recipe, for one that cannot be.
ModelConfig model_config(const Recipe& recipe, const Tokenizer& tokenizer);

// The same for a recipe that may start from a model folder (run.start_from).
ModelConfig recipe_model(const Recipe& recipe);

// Writes <run>/model_sft and <run>/model (Hugging Face folders), metrics, report.md, summary.json. Without resume, an
// earlier run in the folder is replaced only if it was made by this function. Checkpoints of a resumed run that are
// damaged are named on standard error.
RunSummary run_recipe(const Recipe& recipe, const PipelineOptions& options);

}  // namespace tenth
