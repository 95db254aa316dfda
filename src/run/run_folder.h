// The folder of a run: whether a run may begin or go on there, and what it leaves of an earlier one.
#pragma once
#include <memory>

#include "base/file_lock.h"
#include "run/run.h"
#include "train/checkpoints.h"

namespace tenth {

// Throws kInput where the run may not begin, or go on, in the folder; nothing in it is touched yet.
void check_folder(const Recipe& recipe, const RunOptions& options);

// The same, and takes the folder's lock, which its run holds to its end: throws kInput where another process has it.
// Null where there is no folder yet.
std::unique_ptr<FileLock> take_folder(const Recipe& recipe, const RunOptions& options);
// Makes the folder and takes its lock.
std::unique_ptr<FileLock> make_and_take_folder(const Path& dir);

// Removes what an earlier run left in the folder; a resumed run loses only what a kill left half written.
void prepare_folder(const Recipe& recipe, const Path& dir, bool resume);

// The newest whole checkpoint where the run is to go on from one; those that are damaged are named on standard error.
std::optional<Checkpoint> checkpoint_to_resume(const RunOptions& options);

}  // namespace tenth
