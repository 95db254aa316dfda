// What runs of all recipes share: the folder, the model, the supervised stages, and the figures of the end.
#pragma once
#include <memory>

#include "backend/cpu/timed_backend.h"
#include "base/file_lock.h"
#include "run/run.h"
#include "tokenizer/tokenizer.h"
#include "train/stage.h"

namespace tenth {

class RecipeRun {
 public:
  // Everything that can be wrong with the recipe is found here, before the folder is touched.
  RecipeRun(const Recipe& recipe, const RunOptions& options);
  // Makes the folder ready and opens the metrics. To be called once, before any of what follows.
  void begin(const std::string& task);

  const Recipe& recipe() const { return recipe_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  Transformer& model() { return *model_; }
  MetricsWriter& metrics() { return *metrics_; }
  RunSummary& summary() { return summary_; }
  uint64_t seed() const { return seed_; }
  ComputeType compute_type() const;
  Path folder(const char* name) const { return options_.run_dir / name; }

  bool resumed_in(const std::string& stage) const { return resume_ && resume_->progress.stage == stage; }
  // Whether an earlier part of this run has finished the stage.
  bool done(const std::string& stage) const;
  RunContext context(const std::string& stage);
  // Runs what is left of the stage, if it has steps, and adds its row to the summary. measure: see RunContext.
  void supervised(const std::string& stage, const Dataset& data, const RunContext::Measure& measure = {});
  void add_stage(const std::string& stage);  // its row

  // A Hugging Face folder with the tokenizer, whole or absent.
  void save_folder(const char* name);
  // Report, and what only a run that goes on needs is removed.
  void finish();

 private:
  Backend& backend() const;
  std::unique_ptr<Transformer> make_model() const;
  SkippedSteps skipped_steps(const std::string& stage) const;
  CheckpointPolicy checkpoint_policy() const;
  void check_steps() const;

  const Recipe& recipe_;
  const RunOptions& options_;
  std::unique_ptr<FileLock> lock_;  // of the run's folder; null until there is one
  uint64_t seed_;
  Tokenizer tokenizer_;
  std::optional<Checkpoint> resume_;
  std::unique_ptr<TimedBackend> timed_;  // with options.profile; outlives the model
  std::unique_ptr<Transformer> model_;
  std::unique_ptr<MetricsWriter> metrics_;
  double peak_flops_ = 0;
  RunSummary summary_;
};

}  // namespace tenth
