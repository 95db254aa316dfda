// What the loops of all stages share: going on from a checkpoint, saving, stopping, and the watch over each step.
#pragma once
#include <functional>
#include <limits>

#include "base/error.h"
#include "train/checkpoints.h"
#include "train/metrics.h"
#include "train/progress.h"
#include "train/watchdog.h"

namespace tenth {

// What a stage needs of the run around it.
struct RunContext {
  Path run_dir;
  MetricsWriter& metrics;
  double peak_flops = 0;  // of this machine, a second
  CheckpointPolicy checkpoint = {};
  std::optional<Checkpoint> resume = {};  // set only for the stage that was cut
  std::optional<int64_t> stop_at = {};    // save and stop when so many steps of this stage are done
  double spike_factor = 0;                // NormWatch
  SkippedSteps skip = {};
  // Called when so many steps of a supervised stage are done; what it returns becomes a record of its own.
  using Measure = std::function<NamedValues(int64_t step)>;
  Measure measure = {};
};

// The user asked for it (interrupt, stop_at); all that was done is saved.
struct Stopped : Error {
  using Error::Error;
};

class StageLoop {
 public:
  // Fills the optimizer where the run goes on from a checkpoint.
  StageLoop(const RunContext& run, const std::string& stage, int64_t steps, Transformer& model, Optimizer& optimizer);

  int64_t first_step() const { return run_.resume ? run_.resume->progress.step : 0; }  // those that are done
  ProgressLine& progress() { return progress_; }
  const NormWatch& norms() const { return norms_; }
  // Whether the step behind `step` done ones is to be left out; writes its record.
  bool skips(int64_t step);

  // The work of one step, from its batches. Numbers that are not finite, or a norm far outside, end the run: the batch
  // is saved, and the state before it where nothing was changed; the error says how to go on. step: those that are
  // done.
  template <class Work>
  auto guard(int64_t step, std::span<const Examples> batches, const Work& work) {
    const int64_t updates = optimizer_.steps();
    try {
      return work();
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kNumeric) throw;
      stop_at_bad_step(step, batches, e.what(), optimizer_.steps() == updates);
    }
  }

  // After a step, with its gradient norm and the number of steps done: saves where the recipe's interval, the end of
  // the stage, an interrupt or stop_at asks for it. The last two throw Stopped. Throws the error of a checkpoint that
  // could not be written.
  void done(int64_t step, double norm);

 private:
  [[noreturn]] void stop_at_bad_step(int64_t step, std::span<const Examples> batches, const std::string& what,
                                     bool unchanged);

  const RunContext& run_;
  std::string stage_;
  int64_t steps_;
  Transformer& model_;
  Optimizer& optimizer_;
  ProgressLine progress_;
  NormWatch norms_;
  Heartbeat heartbeat_;
  CheckpointWriter writer_;
};

}  // namespace tenth
