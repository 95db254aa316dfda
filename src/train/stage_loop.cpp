#include "train/stage_loop.h"

#include <cmath>

#include "base/interrupt.h"

namespace tenth {
namespace {

bool finite(Transformer& model, const Optimizer& optimizer) {
  const auto good = [](const Tensor& t) { return std::isfinite(backend_of(t).sum_of_squares(t)); };
  for (const Parameter& parameter : model.parameters())
    if (!good(parameter.value())) return false;
  for (const NamedTensor& part : optimizer.state())
    if (!good(part.tensor)) return false;
  return true;
}

}  // namespace

StageLoop::StageLoop(const RunContext& run, const std::string& stage, int64_t steps, Transformer& model,
                     Optimizer& optimizer)
    : run_(run),
      stage_(stage),
      steps_(steps),
      model_(model),
      optimizer_(optimizer),
      progress_(stage, steps, run.peak_flops, first_step()),
      norms_(run.spike_factor, run.metrics.series(stage, "grad_norm").values),
      heartbeat_(run.run_dir),
      writer_(run.run_dir, run.checkpoint, [this](const std::string& line) { progress_.note(line); }) {
  if (run.resume) load_optimizer(run.resume->folder, optimizer);
}

bool StageLoop::skips(int64_t step) {
  if (!run_.skip.contains(step + 1)) return false;
  run_.metrics.write(stage_, step + 1, {{"skipped", 1}});
  return true;
}

void StageLoop::done(int64_t step, double norm) {
  norms_.add(norm);
  writer_.check();
  heartbeat_.beat(stage_, step);
  const bool interrupt = interrupted(), asked = run_.stop_at && step >= *run_.stop_at, last = step >= steps_;
  if (!interrupt && !asked && !last && !save_due(run_.checkpoint, step)) return;
  writer_.save(model_, optimizer_, {stage_, step});
  if (interrupt || asked || last || run_.checkpoint.every == 1) writer_.wait();
  if (!interrupt && !asked) return;
  throw Stopped(ErrorKind::kIo,
                fmt::format("{} after {} step {}; all of it is saved: the same command with --resume goes on",
                            interrupt ? "interrupted" : "stopped", stage_, step));
}

void StageLoop::stop_at_bad_step(int64_t step, std::span<const Examples> batches, const std::string& what,
                                 bool unchanged) {
  std::string saved;
  try {
    if (!batches.empty())
      saved = fmt::format("; its batch is {}", save_bad_batch(run_.run_dir, stage_, step + 1, batches).string());
    if (unchanged && step > 0 && finite(model_, optimizer_)) {
      writer_.save(model_, optimizer_, {stage_, step});
      writer_.wait();
      saved += "; the state before it is saved";
    }
  } catch (const Error& e) {
    saved += fmt::format("; saving failed: {}", e.what());
  }
  fail(ErrorKind::kNumeric,
       "{} step {}: {}; {}{}; go on without this batch (--resume --set {}.skip_steps={}) or start again with a lower "
       "{}.lr",
       stage_, step + 1, what,
       unchanged ? "no weight was changed by it" : "an earlier update of it changed the weights", saved, stage_,
       step + 1, stage_ == "train" ? "optim" : stage_);
}

}  // namespace tenth
