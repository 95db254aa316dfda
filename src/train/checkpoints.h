// <run>/checkpoints/: one folder a saved step, step-<stage>-<number>, each a Hugging Face model folder with
// trainer_state/ and a manifest. A folder of that name is whole: it is filled beside, every file synced, and renamed.
// The disk can still harm it later; whoever resumes checks the manifest and takes the newest one that matches it.
#pragma once
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "train/trainer_state.h"

namespace tenth {

struct CheckpointPolicy {
  int64_t every = 0;       // most steps of a stage that a kill may cost; 0: saved at its end only
  int64_t keep = 2;        // the last so many stay
  int64_t keep_every = 0;  // those at multiples of so many steps stay for good; 0: none
};

// Whether a state is saved when so many steps are done: at multiples of every, and half-way between them. A save waits
// until the one before is safe, so that whatever a write takes, the newest safe one is at most two saves, and so every
// steps, behind.
bool save_due(const CheckpointPolicy& policy, int64_t step);

struct Checkpoint {
  Path folder;
  Progress progress;
};

Path checkpoint_folder(const Path& run_dir, const Progress& progress);
// All of them by name, newest first, unread.
std::vector<Checkpoint> list_checkpoints(const Path& run_dir);

struct FoundCheckpoint {
  std::optional<Checkpoint> newest;  // nothing where the run has none
  std::vector<std::string> skipped;  // a line for each newer one that is damaged: file, tensor, what is wrong
};
// The newest whole one. Throws kInput where there are some and all are damaged.
FoundCheckpoint find_checkpoint(const Path& run_dir);

// For the end of a run: removes all but those that policy keeps for good, and what kills left half done.
void remove_checkpoints(const Path& run_dir, const CheckpointPolicy& policy);
// What kills left half done; for the beginning of a run.
void remove_leftovers(const Path& run_dir);

// Nothing where needed bytes fit twice; a warning where they fit once. Throws kIo where they do not.
std::optional<std::string> space_warning(const Path& folder, uint64_t free, uint64_t needed);

// Writes checkpoints in the background, one at a time. When a new one is safe, older ones go as the policy says, and
// so do those of a later step, which the run has left by going on from an older one.
class CheckpointWriter {
 public:
  // note: shows a line of warning to the user.
  CheckpointWriter(const Path& run_dir, const CheckpointPolicy& policy, std::function<void(const std::string&)> note);
  ~CheckpointWriter();  // waits

  // Copies the state, which is all that the caller waits for (and for the checkpoint before, if that is still being
  // written). Throws kIo before anything is written where the disk has no room, and what check() throws.
  void save(Transformer& model, const Optimizer& optimizer, const Progress& progress);
  // Throws the error of a write that has failed since; the checkpoints before are as they were.
  void check();
  // Returns when the last save is safe on the disk. Throws as check().
  void wait();

 private:
  void write(const TrainerState& state) const;
  void prune(const Progress& newest) const;

  Path run_dir_;
  CheckpointPolicy policy_;
  std::function<void(const std::string&)> note_;
  bool warned_ = false;
  std::future<void> written_;
  std::jthread thread_;
};

}  // namespace tenth
