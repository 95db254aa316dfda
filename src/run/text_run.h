// A recipe with text of its own (data.*): the stage [train] on token shards or conversations -> bits per byte of
// validation text -> samples -> report. Text files that the recipe names are prepared first, once.
#pragma once
#include "run/run.h"

namespace tenth {

bool has_text(const Recipe& recipe);
RunSummary run_text(const Recipe& recipe, const RunOptions& options);

}  // namespace tenth
