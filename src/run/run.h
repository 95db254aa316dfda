// A recipe from beginning to end. With a task: text -> SFT -> evaluation -> GRPO -> evaluation -> report
// (task_run.cpp). With text of one's own (data.*): training -> bits per byte -> samples -> report (text_run.cpp).
#pragma once
#include <optional>
#include <string>

#include "train/recipe.h"
#include "train/report.h"
#include "train/trainer_state.h"

namespace tenth {

struct RunOptions {
  Path run_dir;
  std::string recipe_file;  // for the report
  bool resume = false;      // go on from the newest whole one of <run>/checkpoints
  // Save and stop when so many steps of the stage are done: throws Stopped.
  std::optional<Progress> stop_at = {};
  bool profile = false;  // RunSummary::profile
};

// Writes <run>/model (a Hugging Face folder; of a task <run>/model_sft too), metrics, report.md, summary.json. Without
// resume, an earlier run in the folder is replaced only if it was made by this function. Checkpoints of a resumed run
// that are damaged are named on standard error.
RunSummary run_recipe(const Recipe& recipe, const RunOptions& options);

}  // namespace tenth
