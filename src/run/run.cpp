#include "run/run.h"

#include "base/interrupt.h"
#include "run/task_run.h"
#include "run/text_run.h"

namespace tenth {

RunSummary run_recipe(const Recipe& recipe, const RunOptions& options) {
  watch_interrupts();
  return has_text(recipe) ? run_text(recipe, options) : run_task(recipe, options);
}

}  // namespace tenth
