// A recipe with a task: text of the task -> SFT on poor demonstrations -> evaluation -> GRPO -> evaluation -> report.
#pragma once
#include "run/run.h"

namespace tenth {

RunSummary run_task(const Recipe& recipe, const RunOptions& options);

}  // namespace tenth
