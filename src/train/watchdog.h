// What looks after a run: gradient norms far outside their history, the batch of a step that went wrong, steps to leave
// out, and a sign of life for whoever supervises it.
#pragma once
#include <chrono>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "train/loss.h"

namespace tenth {

// Finds a gradient norm of more than `factor` times the median of the last 100 of its stage. The first 50 steps are not
// judged. Factor 0: only what is not finite is found.
class NormWatch {
 public:
  NormWatch() = default;
  NormWatch(double factor, std::span<const double> history);
  // Throws kNumeric for a norm that is not finite or far outside; it changes nothing.
  void check(double norm) const;
  void add(double norm);

 private:
  double factor_ = 0;
  std::deque<double> norms_;
};

// Steps of a stage, counted from 1, that are left out: "57" or "57,120-130".
class SkippedSteps {
 public:
  SkippedSteps() = default;
  // Throws kInput with `where` for text that is no such list.
  SkippedSteps(std::string_view text, const std::string& where);
  bool contains(int64_t step) const;

 private:
  std::vector<std::pair<int64_t, int64_t>> ranges_;
};

// <run>/bad_batch_<stage>_<step>.safetensors: ids and lengths i32, scored u8, as in Examples, the step's batches end to
// end; batch_sequences i32: how many sequences each has. Returns its path. step: counted from 1.
Path save_bad_batch(const Path& run_dir, const std::string& stage, int64_t step, std::span<const Examples> batches);

// <run>/heartbeat.json: {"stage", "step", "time" (Unix seconds), "pid"}, replaced at most once a second: old, and the
// process hangs or is gone. A disk that refuses it does not stop the run.
class Heartbeat {
 public:
  explicit Heartbeat(const Path& run_dir);
  void beat(const std::string& stage, int64_t step);
  static Path file(const Path& run_dir) { return run_dir / "heartbeat.json"; }

 private:
  Path file_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace tenth
