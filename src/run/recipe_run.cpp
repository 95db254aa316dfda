#include "run/recipe_run.h"

#include "backend/cpu/machine.h"
#include "backend/cpu/peak.h"
#include "base/threads.h"
#include "checkpoint/model_folder.h"
#include "eval/graded.h"
#include "run/recipe_model.h"
#include "run/run_folder.h"
#include "tokenizer/small_vocab.h"

namespace tenth {

RecipeRun::RecipeRun(const Recipe& recipe, const RunOptions& options)
    : recipe_(recipe),
      options_(options),
      lock_(take_folder(recipe, options)),
      seed_(uint64_t(recipe.integer("run.seed"))),
      tokenizer_(recipe_tokenizer(recipe)),
      timed_(options.profile ? std::make_unique<TimedBackend>() : nullptr) {
  check_steps();
  resume_ = checkpoint_to_resume(options);
  model_ = make_model();
  if (!resume_) return;
  const Progress& at = resume_->progress;
  require(!options.stop_at || at < *options.stop_at, ErrorKind::kInput,
          "--stop-at: expected a step behind {} step {}, where this run is", at.stage, at.step);
}

void RecipeRun::begin(const std::string& task) {
  if (!lock_) lock_ = make_and_take_folder(options_.run_dir);
  prepare_folder(recipe_, options_.run_dir, resume_.has_value());
  metrics_ = std::make_unique<MetricsWriter>(options_.run_dir);
  if (resume_) metrics_->rewind(resume_->progress.stage, resume_->progress.step);
  peak_flops_ = 1e9 * measured_peak_gflops(compute_type().dtype);
  const ModelSize size = model_size(model_->config());
  summary_.recipe = options_.recipe_file;
  summary_.task = task;
  summary_.machine = machine_name();
  summary_.dtype = recipe_.text("run.dtype");
  summary_.seed = int64_t(seed_);
  summary_.threads = thread_count();
  summary_.parameters = size.parameters;
  summary_.active_parameters = trunk_size(model_->config()).active_parameters;
  summary_.settings = recipe_.settings();
  if (!recipe_.text("run.start_from").empty())  // the model is what that folder holds
    std::erase_if(summary_.settings, [](const auto& setting) { return setting.first.starts_with("model."); });
}

ComputeType RecipeRun::compute_type() const { return recipe_compute_type(recipe_); }

Backend& RecipeRun::backend() const { return timed_ ? *timed_ : get_backend("cpu"); }

std::unique_ptr<Transformer> RecipeRun::make_model() const {
  if (resume_) return load_model(resume_->folder, backend(), compute_type());
  if (const Path from = start_folder(recipe_); !from.empty()) {
    auto model = load_model(from, backend(), compute_type());
    check_vocabulary(tokenizer_, model->config(), from);
    return model;
  }
  auto model = std::make_unique<Transformer>(model_config(recipe_, tokenizer_), backend(), compute_type());
  initialize(*model, seed_, recipe_.real("model.embedding_init"));
  return model;
}

SkippedSteps RecipeRun::skipped_steps(const std::string& stage) const {
  const std::string key = stage + ".skip_steps";
  return SkippedSteps(recipe_.text(key), recipe_.where(key) + ": " + key);
}

void RecipeRun::check_steps() const {
  for (const std::string& stage : stage_names()) skipped_steps(stage);
  if (!options_.stop_at) return;
  const auto& [stage, step] = *options_.stop_at;
  const int64_t steps = recipe_.integer(stage + ".steps");
  require(step >= 1 && step <= steps, ErrorKind::kInput, "--stop-at: expected 1 to {}, the steps of {}, got {}", steps,
          stage, step);
}

bool RecipeRun::done(const std::string& stage) const {
  if (!resume_) return false;
  const Progress& at = resume_->progress;
  return stage == at.stage ? at.step >= recipe_.integer(stage + ".steps") : Progress{stage, 0} < at;
}

CheckpointPolicy RecipeRun::checkpoint_policy() const {
  return {.every = recipe_.integer("checkpoint.every"),
          .keep = recipe_.integer("checkpoint.keep"),
          .keep_every = recipe_.integer("checkpoint.keep_every")};
}

RunContext RecipeRun::context(const std::string& stage) {
  RunContext run{
      .run_dir = options_.run_dir, .metrics = *metrics_, .peak_flops = peak_flops_, .checkpoint = checkpoint_policy()};
  if (resume_ && resume_->progress.stage == stage) run.resume = resume_;
  if (options_.stop_at && options_.stop_at->stage == stage) run.stop_at = options_.stop_at->step;
  run.skip = skipped_steps(stage);
  run.spike_factor = recipe_.real(stage + ".spike_factor");
  return run;
}

void RecipeRun::supervised(const std::string& stage, const Dataset& data, const RunContext::Measure& measure) {
  const StageSettings settings = stage_settings(recipe_, stage);
  if (settings.steps == 0) return;
  if (!done(stage)) {
    RunContext run = context(stage);
    run.measure = measure;
    run_stage(*model_, data, settings, run);
  }
  add_stage(stage);
}

void RecipeRun::add_stage(const std::string& stage) {
  summary_.stages.push_back(stage_summary(*metrics_, stage, peak_flops_));
}

void RecipeRun::save_folder(const char* name) {
  replace_folder(folder(name), [&](const Path& beside) {
    save_model(beside, *model_, DType::kF32);
    const Path from = tokenizer_folder(recipe_);
    if (from.empty()) return arithmetic_vocab(recipe_.integer("model.max_position_embeddings")).save(beside);
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
      if (std::filesystem::exists(from / file)) write_file(beside / file, read_file(from / file));
  });
}

void RecipeRun::finish() {
  const std::string dir = options_.run_dir.string();
  summary_.seconds = metrics_->wall();
  if (timed_) summary_.profile = profile_table(*timed_, summary_.seconds, 1);
  summary_.expert_loads = read_expert_loads(options_.run_dir);
  summary_.written.insert(summary_.written.end(),
                          {{dir + "/report.md", "curves, results, transcripts"},
                           {dir + "/summary.json", "the figures, for programs"},
                           {dir + "/metrics.jsonl", "every step; TensorBoard events beside it"}});
  write_report(options_.run_dir, summary_, *metrics_);
  remove_checkpoints(options_.run_dir, checkpoint_policy());  // the model folders hold the result
  std::filesystem::remove(Heartbeat::file(options_.run_dir));
}

}  // namespace tenth
