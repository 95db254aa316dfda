// The folder of a run: whether a run may begin or go on there, and what it leaves of an earlier one.
#pragma once
#include "run/run.h"
#include "train/checkpoints.h"

namespace tenth {

// Throws kInput where the run may not begin, or go on, in the folder; nothing in it is touched yet.
void check_folder(const Recipe& recipe, const RunOptions& options);

// Makes the folder, without what an earlier run left there; a resumed run loses only what a kill left half written.
void prepare_folder(const Recipe& recipe, const Path& dir, bool resume);

// The newest whole checkpoint where the run is to go on from one; those that are damaged are named on standard error.
std::optional<Checkpoint> checkpoint_to_resume(const RunOptions& options);

}  // namespace tenth
