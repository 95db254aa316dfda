#include "rl/pipeline.h"

#include <algorithm>

#include "backend/cpu/machine.h"
#include "backend/cpu/peak.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "base/threads.h"
#include "checkpoint/model_folder.h"
#include "eval/graded.h"
#include "rl/grpo.h"
#include "rl/task_dataset.h"
#include "tokenizer/chat_format.h"
#include "tokenizer/small_vocab.h"
#include "train/stage.h"

namespace tenth {
namespace {

Path start_folder(const Recipe& recipe) { return recipe.text("run.start_from"); }

Tokenizer make_tokenizer(const Recipe& recipe) {
  if (!start_folder(recipe).empty()) return Tokenizer::load(start_folder(recipe));
  return arithmetic_vocab(recipe.integer("model.max_position_embeddings")).tokenizer();
}

void save_folder(const Path& folder, Transformer& model, const Recipe& recipe) {
  replace_folder(folder, [&](const Path& beside) {
    save_model(beside, model, DType::kF32);
    if (const Path from = start_folder(recipe); from.empty()) {
      arithmetic_vocab(recipe.integer("model.max_position_embeddings")).save(beside);
    } else {
      for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
        if (std::filesystem::exists(from / name)) write_file(beside / name, read_file(from / name));
    }
  });
}

constexpr const char* kRecipeFile = "recipe.toml";

// Keys that a resumed run may have otherwise than the one it goes on from: they do not touch what was done.
bool may_change(const std::string& key) {
  return key.starts_with("checkpoint.") || key.ends_with(".skip_steps") || key.ends_with(".spike_factor") ||
         key == "run.threads";
}

// The first key whose values differ and may not; empty if there is none.
std::string changed_key(const Recipe& recipe, const Path& earlier_file) {
  const auto now = recipe.settings(), before = Recipe::load(earlier_file).settings();
  for (const auto& setting : now)
    if (!may_change(setting.first) && !std::count(before.begin(), before.end(), setting)) return setting.first;
  return now.size() == before.size() ? "" : "task";
}

// Whether the folder holds nothing but what a run leaves that was killed before its first record.
bool only_begun(const Path& dir) {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (is_leftover(entry.path())) continue;
    if (entry.path().filename() != kRecipeFile) return false;
    try {
      if (read_file(entry.path()) != Recipe::load(entry.path()).to_toml()) return false;
    } catch (const Error&) {
      return false;  // a recipe of the user's own
    }
  }
  return true;
}

// Whether this run may go on, or begin, in the folder; nothing in it is touched yet.
void check_folder(const Recipe& recipe, const PipelineOptions& options) {
  namespace fs = std::filesystem;
  const Path& dir = options.run_dir;
  const bool run = fs::exists(dir / kRecipeFile) && fs::exists(dir / "metrics.jsonl");
  if (const Path from = start_folder(recipe); !from.empty()) {
    const Path way = fs::weakly_canonical(from).lexically_relative(fs::weakly_canonical(dir));
    require(way.empty() || *way.begin() == "..", ErrorKind::kInput,
            "{}: run.start_from: expected a model outside the run's own folder {}, got {}",
            recipe.where("run.start_from"), dir.string(), from.string());
  }
  if (!options.resume) {
    require(!fs::exists(dir) || run || (fs::is_directory(dir) && only_begun(dir)), ErrorKind::kInput,
            "{}: holds something that is not a run's; name another folder with --out", dir.string());
    return;
  }
  require(run, ErrorKind::kInput, "{}: nothing to resume; start without --resume", dir.string());
  const std::string changed = changed_key(recipe, dir / kRecipeFile);
  require(changed.empty(), ErrorKind::kInput,
          "{}: the recipe differs from the one this run began with ({}); resume with the same recipe and --set options",
          (dir / kRecipeFile).string(), changed);
  require(!fs::exists(dir / "summary.json"), ErrorKind::kInput, "{}: this run is finished; its model is {}",
          dir.string(), (dir / "model").string());
}

// Makes the folder, without what an earlier run left there; a resumed run loses only what a kill left half written.
void prepare_folder(const Recipe& recipe, const Path& dir, bool resume) {
  namespace fs = std::filesystem;
  const std::vector<std::string> results = {"checkpoints",      "model_sft", "model",        "metrics.jsonl",
                                            "expert_load.json", "report.md", "summary.json", "heartbeat.json"};
  try {
    fs::create_directories(dir);
    std::vector<Path> old;
    for (const auto& entry : fs::directory_iterator(dir)) {
      const std::string name = entry.path().filename().string();
      const bool result = std::count(results.begin(), results.end(), name) || name.ends_with(".svg") ||
                          name.starts_with("events.out.tfevents") || name.starts_with("bad_batch_");
      if (is_leftover(entry.path()) || (result && !resume)) old.push_back(entry.path());
    }
    // The records last: with them and the recipe it is still a run's folder, wherever this is cut.
    std::partition(old.begin(), old.end(), [](const Path& path) { return path.filename() != "metrics.jsonl"; });
    for (const Path& path : old) fs::remove_all(path);
  } catch (const fs::filesystem_error& e) {
    fail(ErrorKind::kIo, "{}: cannot prepare the folder: {}", e.path1().string(), e.code().message());
  }
  remove_leftovers(dir);
  write_file(dir / kRecipeFile, recipe.to_toml());
}

// The checkpoint to go on from.
std::optional<Checkpoint> checkpoint_to_resume(const PipelineOptions& options) {
  if (!options.resume) return std::nullopt;
  FoundCheckpoint found = find_checkpoint(options.run_dir);
  for (const std::string& line : found.skipped) std::fprintf(stderr, "skipped: %s\n", printable(line).c_str());
  if (found.newest && !found.skipped.empty()) std::fprintf(stderr, "going on from %s\n", found.newest->folder.c_str());
  return std::move(found.newest);
}

class Pipeline {
 public:
  // Everything that can be wrong with the recipe is found before the folder is touched.
  Pipeline(const Recipe& recipe, const PipelineOptions& options)
      : recipe_(recipe),
        options_(options),
        seed_((check_folder(recipe, options), uint64_t(recipe.integer("run.seed")))),
        task_(make_task(recipe.text("task.name"), recipe.task_numbers(), recipe.text("task.file"))),
        tokenizer_(make_tokenizer(recipe)),
        resume_((check_steps(), checkpoint_to_resume(options))),
        held_out_(task_->held_out(int(recipe.integer("run.eval_problems")))),
        model_(make_model()),
        metrics_((check_prompts(), prepare_folder(recipe, options.run_dir, resume_.has_value()), options.run_dir)),
        peak_(1e9 * measured_peak_gflops(compute_type())) {
    if (!resume_) return;
    const Progress& at = resume_->progress;
    require(!options.stop_at || at < *options.stop_at, ErrorKind::kInput,
            "--stop-at: expected a step behind {} step {}, where this run is", at.stage, at.step);
    metrics_.rewind(at.stage, at.step);
  }

  RunSummary run() {
    watch_interrupts();
    describe();
    supervised("train", TaskDataset::Kind::kDocuments);
    supervised("sft", TaskDataset::Kind::kDemonstrations);
    reinforce();
    summary_.seconds = metrics_.wall();
    summary_.expert_loads = read_expert_loads(options_.run_dir);
    finish();
    return summary_;
  }

 private:
  DType compute_type() const { return recipe_.text("run.dtype") == "bf16" ? DType::kBF16 : DType::kF32; }
  Path folder(const char* name) const { return options_.run_dir / name; }

  std::unique_ptr<Transformer> make_model() const {
    Backend& backend = get_backend("cpu");
    if (resume_) return load_model(resume_->folder, backend, compute_type());
    if (const Path from = start_folder(recipe_); !from.empty()) {
      auto model = load_model(from, backend, compute_type());
      check_vocabulary(tokenizer_, model->config(), from);
      return model;
    }
    auto model = std::make_unique<Transformer>(model_config(recipe_, tokenizer_), backend, compute_type());
    initialize(*model, seed_, recipe_.real("model.embedding_init"));
    return model;
  }

  SkippedSteps skipped_steps(const std::string& stage) const {
    const std::string key = stage + ".skip_steps";
    return SkippedSteps(recipe_.text(key), recipe_.where(key) + ": " + key);
  }

  void check_steps() const {
    for (const std::string& stage : stage_names()) skipped_steps(stage);
    if (!options_.stop_at) return;
    const auto& [stage, step] = *options_.stop_at;
    const int64_t steps = recipe_.integer(stage + ".steps");
    require(step >= 1 && step <= steps, ErrorKind::kInput, "--stop-at: expected 1 to {}, the steps of {}, got {}",
            steps, stage, step);
  }

  void check_prompts() const {
    stop_id(tokenizer_);  // throws where answers could not end
    require(!held_out_.empty(), ErrorKind::kInput,
            "{}: task.name: {} has no held-out problems (one in eight is): expected at least one", where("task.name"),
            task_->name());
    size_t longest = 0;
    for (const Problem& problem : held_out_)
      longest = std::max(longest, encode_prompt(tokenizer_, problem.question).size());
    const int64_t limit = recipe_.integer("rl.max_new_tokens"), context = model_->config().max_position_embeddings;
    require(int64_t(longest) + limit <= context, ErrorKind::kInput,
            "{}: rl.max_new_tokens: expected at most {}, for prompts have up to {} tokens and the model's context {}, "
            "got {}",
            where("rl.max_new_tokens"), context - int64_t(longest), longest, context, limit);
  }

  void describe() {
    const ModelSize size = model_size(model_->config());
    summary_.recipe = options_.recipe_file;
    summary_.task = task_->name();
    summary_.machine = machine_name();
    summary_.dtype = recipe_.text("run.dtype");
    summary_.seed = int64_t(seed_);
    summary_.threads = thread_count();
    summary_.parameters = size.parameters;
    summary_.active_parameters = size.active_parameters;
    summary_.settings = recipe_.settings();
  }

  std::string where(const char* key) const { return recipe_.where(key); }

  // Whether an earlier part of this run has finished the stage.
  bool done(const std::string& stage) const {
    if (!resume_) return false;
    const Progress& at = resume_->progress;
    return stage == at.stage ? at.step >= recipe_.integer(stage + ".steps") : Progress{stage, 0} < at;
  }

  CheckpointPolicy checkpoint_policy() const {
    return {.every = recipe_.integer("checkpoint.every"),
            .keep = recipe_.integer("checkpoint.keep"),
            .keep_every = recipe_.integer("checkpoint.keep_every")};
  }

  RunContext context(const std::string& stage) {
    RunContext run{
        .run_dir = options_.run_dir, .metrics = metrics_, .peak_flops = peak_, .checkpoint = checkpoint_policy()};
    if (resume_ && resume_->progress.stage == stage) run.resume = resume_;
    if (options_.stop_at && options_.stop_at->stage == stage) run.stop_at = options_.stop_at->step;
    run.skip = skipped_steps(stage);
    run.spike_factor = recipe_.real(stage + ".spike_factor");
    return run;
  }

  void supervised(const std::string& stage, TaskDataset::Kind kind) {
    const StageSettings settings = stage_settings(recipe_, stage);
    if (settings.steps == 0) return;
    if (!done(stage)) train(stage, kind, settings);
    summary_.stages.push_back(stage_summary(metrics_, stage, peak_));
  }

  void train(const std::string& stage, TaskDataset::Kind kind, const StageSettings& settings) {
    const uint64_t stream = kind == TaskDataset::Kind::kDocuments ? 1 : 2;  // apart from the weights' and each other's
    const TaskDataset data(*task_, tokenizer_, kind, philox(seed_, stream, 0)[0] | uint64_t(stream) << 32,
                           recipe_.integer(stage + ".batch_tokens"));
    run_stage(*model_, data, settings, context(stage));
  }

  std::vector<Transcript> transcripts(const GradedResult& graded) const {
    // Right and wrong ones, in equal parts where there are enough of both.
    const size_t wanted = size_t(recipe_.integer("run.samples_shown"));
    std::vector<Transcript> shown;
    for (const bool right : {true, false}) {
      size_t taken = 0;
      for (const GradedAnswer& answer : graded.answers) {
        if (answer.right != right || taken == (wanted + (right ? 1 : 0)) / 2) continue;
        const Problem& problem = held_out_[answer.problem];
        shown.push_back({problem.question, problem.answer, answer.completion, right});
        taken++;
      }
    }
    return shown;
  }

  // At temperature 0 and at that of the rollouts.
  std::vector<GradedResult> evaluate_both(Transformer& model) const {
    std::vector<GradedResult> results;
    for (double temperature : {0.0, recipe_.real("rl.temperature")}) {
      results.push_back(evaluate(model, tokenizer_, *task_, held_out_,
                                 {.temperature = temperature,
                                  .max_new_tokens = int32_t(recipe_.integer("rl.max_new_tokens")),
                                  .seed = seed_}));
    }
    return results;
  }

  // The model before reinforcement is read back from its folder, to the same bits: so it is there in a resumed run.
  void reinforce() {
    model_->set_training(false);
    const bool begun = resume_ && resume_->progress.stage == "rl";
    if (!begun) save_folder(folder("model_sft"), *model_, recipe_);
    auto start = load_model(folder("model_sft"), model_->backend(), compute_type());
    const std::vector<GradedResult> at_start = evaluate_both(*start);
    for (const GradedResult& result : at_start) summary_.comparisons.push_back({result.evaluation});
    summary_.before = transcripts(at_start[0]);
    const RlSettings settings = rl_settings(recipe_);
    if (settings.steps > 0) {
      if (!begun) metrics_.write("rl", 0, {{"accuracy", at_start[0].evaluation.accuracy}});
      if (settings.loss.beta == 0) start.reset();
      if (!done("rl")) run_grpo(*model_, start.get(), tokenizer_, *task_, settings, context("rl"));
      summary_.stages.push_back(stage_summary(metrics_, "rl", peak_));
      model_->set_training(false);
      const std::vector<GradedResult> at_end = evaluate_both(*model_);
      for (size_t i = 0; i < at_end.size(); i++) summary_.comparisons[i].after = at_end[i].evaluation;
      summary_.after = transcripts(at_end[0]);
    }
    save_folder(folder("model"), *model_, recipe_);
  }

  void finish() {
    const std::string dir = options_.run_dir.string();
    summary_.written = {{dir + "/model_sft", "the model before reinforcement (Hugging Face folder)"},
                        {dir + "/model", "the model after it (Hugging Face folder)"},
                        {dir + "/report.md", "curves, before and after, transcripts"},
                        {dir + "/summary.json", "the figures, for programs"},
                        {dir + "/metrics.jsonl", "every step; TensorBoard events beside it"}};
    summary_.next_command = fmt::format("build/tenth chat --model {}/model", dir);
    write_report(options_.run_dir, summary_, metrics_);
    remove_checkpoints(options_.run_dir, checkpoint_policy());  // the model folders hold the result
    std::filesystem::remove(Heartbeat::file(options_.run_dir));
  }

  const Recipe& recipe_;
  const PipelineOptions& options_;
  uint64_t seed_;
  std::unique_ptr<Task> task_;
  Tokenizer tokenizer_;
  std::optional<Checkpoint> resume_;
  std::vector<Problem> held_out_;
  std::unique_ptr<Transformer> model_;
  MetricsWriter metrics_;
  double peak_;
  RunSummary summary_;
};

}  // namespace

ModelConfig model_config(const Recipe& recipe, const Tokenizer& tokenizer) {
  const auto size = [&](const char* key) { return recipe.integer(std::string("model.") + key); };
  ModelConfig c;
  c.model_type = "deepseek_v3";
  c.vocab_size = tokenizer.vocab_size();
  c.hidden_size = size("hidden_size");
  c.num_hidden_layers = size("num_hidden_layers");
  c.num_attention_heads = size("num_attention_heads");
  c.q_lora_rank = size("q_lora_rank");
  c.kv_lora_rank = size("kv_lora_rank");
  c.qk_nope_head_dim = size("qk_nope_head_dim");
  c.qk_rope_head_dim = size("qk_rope_head_dim");
  c.v_head_dim = size("v_head_dim");
  c.intermediate_size = size("intermediate_size");
  c.moe_intermediate_size = size("moe_intermediate_size");
  c.n_routed_experts = size("n_routed_experts");
  c.n_shared_experts = size("n_shared_experts");
  c.gate.experts_per_token = int(size("num_experts_per_tok"));
  c.gate.groups = int(size("n_group"));
  c.gate.groups_kept = int(size("topk_group"));
  c.gate.scaling = recipe.real("model.routed_scaling_factor");
  c.gate.normalize = recipe.flag("model.norm_topk_prob");
  c.gate_bias = true;
  for (int64_t layer = 0; layer < c.num_hidden_layers; layer++)
    c.sparse_layer.push_back(layer >= size("first_k_dense_replace"));
  c.num_nextn_predict_layers = size("num_nextn_predict_layers");
  c.max_position_embeddings = size("max_position_embeddings");
  c.rope_theta = recipe.real("model.rope_theta");
  c.rms_norm_eps = recipe.real("model.rms_norm_eps");
  c.initializer_range = recipe.real("model.initializer_range");
  c.tie_word_embeddings = recipe.flag("model.tie_word_embeddings");
  c.eos_token_id = tokenizer.eos_id().value_or(-1);
  c.bos_token_id = tokenizer.bos_id().value_or(-1);
  check_config(c, recipe.where("model.hidden_size"));
  return c;
}

RunSummary run_recipe(const Recipe& recipe, const PipelineOptions& options) { return Pipeline(recipe, options).run(); }

}  // namespace tenth
