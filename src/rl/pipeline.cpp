#include "rl/pipeline.h"

#include <algorithm>
#include <chrono>

#include "backend/cpu/machine.h"
#include "backend/cpu/peak.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "checkpoint/model_folder.h"
#include "eval/graded.h"
#include "rl/grpo.h"
#include "rl/task_dataset.h"
#include "tokenizer/small_vocab.h"
#include "train/stage.h"

namespace tenth {
namespace {

const std::vector<std::string> kStages = {"pretrain", "sft", "rl"};

ModelConfig model_config(const Recipe& recipe, int64_t vocabulary, const Tokenizer& tokenizer) {
  const auto size = [&](const char* key) { return recipe.integer(std::string("model.") + key); };
  ModelConfig c;
  c.model_type = "deepseek_v3";
  c.vocab_size = vocabulary;
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
      for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
        write_file(beside / name, read_file(from / name));
    }
  });
}

// The run folder is new, or holds an earlier run of ours; with resume it must be one of the same recipe.
void prepare_folder(const Recipe& recipe, const PipelineOptions& options) {
  namespace fs = std::filesystem;
  const Path settings = options.run_dir / "recipe.toml";
  if (options.resume) {
    require(fs::exists(settings), ErrorKind::kInput, "{}: nothing to resume; start without --resume",
            options.run_dir.string());
    require(read_file(settings) == recipe.to_toml(), ErrorKind::kInput,
            "{}: the recipe differs from the one this run began with; resume with the same recipe and --set options",
            settings.string());
    return;
  }
  std::error_code error;
  if (fs::exists(options.run_dir)) {
    require(fs::is_empty(options.run_dir, error) || fs::exists(settings), ErrorKind::kInput,
            "{}: holds files that are not a run's; name another folder with --out", options.run_dir.string());
    for (const char* name : {"checkpoint", "model_sft", "model", "metrics.jsonl", "report.md", "summary.json"})
      fs::remove_all(options.run_dir / name);
    for (const auto& entry : fs::directory_iterator(options.run_dir)) {
      if (entry.path().filename().string().starts_with("events.out.tfevents")) fs::remove(entry.path());
    }
  }
  fs::create_directories(options.run_dir, error);
  require(!error, ErrorKind::kIo, "{}: cannot make the folder: {}", options.run_dir.string(), error.message());
  write_file(settings, recipe.to_toml());
}

class Pipeline {
 public:
  Pipeline(const Recipe& recipe, const PipelineOptions& options)
      : recipe_(recipe),
        options_(options),
        seed_(uint64_t(recipe.integer("run.seed"))),
        task_(make_task(recipe.text("task.name"), recipe.task_numbers(), recipe.text("task.file"))),
        tokenizer_(make_tokenizer(recipe)),
        metrics_((prepare_folder(recipe, options), options.run_dir)),
        peak_(1e9 * measured_peak_gflops(compute_type())) {
    if (options.resume) resume_ = checkpoint_progress(options.run_dir);
    held_out_ = task_->held_out(int(recipe.integer("run.eval_problems")));
  }

  RunSummary run() {
    const auto began = std::chrono::steady_clock::now();
    watch_interrupts();
    make_model();
    describe();
    supervised("pretrain", TaskDataset::Kind::kDocuments);
    supervised("sft", TaskDataset::Kind::kDemonstrations);
    reinforce();
    summary_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    finish();
    return summary_;
  }

 private:
  DType compute_type() const { return recipe_.text("run.dtype") == "bf16" ? DType::kBF16 : DType::kF32; }
  Path folder(const char* name) const { return options_.run_dir / name; }

  void make_model() {
    Backend& backend = get_backend("cpu");
    if (resume_) {
      metrics_.rewind(resume_->stage, resume_->step);
      model_ = load_model(checkpoint_folder(options_.run_dir), backend, compute_type());
    } else if (const Path from = start_folder(recipe_); !from.empty()) {
      model_ = load_model(from, backend, compute_type());
    } else {
      model_ = std::make_unique<Transformer>(model_config(recipe_, tokenizer_.vocab_size(), tokenizer_), backend,
                                             compute_type());
      initialize(*model_, seed_, recipe_.real("model.embedding_init"));
    }
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

  // Whether an earlier part of this run has finished the stage.
  bool done(const std::string& stage) const {
    const auto place = [](const std::string& name) { return std::find(kStages.begin(), kStages.end(), name); };
    return resume_ && place(stage) < place(resume_->stage);
  }

  RunContext context(const std::string& stage) {
    RunContext run{options_.run_dir, metrics_, peak_, recipe_.integer("checkpoint.every"), {}};
    if (resume_ && resume_->stage == stage) run.resume = resume_;
    return run;
  }

  void supervised(const std::string& stage, TaskDataset::Kind kind) {
    const StageSettings settings = stage_settings(recipe_, stage);
    if (settings.steps == 0 || done(stage)) return;
    const uint64_t stream = kind == TaskDataset::Kind::kDocuments ? 1 : 2;  // apart from the weights' and each other's
    const TaskDataset data(*task_, tokenizer_, kind, philox(seed_, stream, 0)[0] | uint64_t(stream) << 32,
                           recipe_.integer(stage + ".batch_tokens"));
    summary_.stages.push_back(run_stage(*model_, data, settings, context(stage)));
    summary_.expert_loads.push_back(expert_load(*model_, stage));
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
  std::vector<GradedResult> evaluate_both() {
    std::vector<GradedResult> results;
    for (double temperature : {0.0, recipe_.real("rl.temperature")}) {
      results.push_back(evaluate(*model_, tokenizer_, *task_, held_out_,
                                 {.temperature = temperature,
                                  .max_new_tokens = int32_t(recipe_.integer("rl.max_new_tokens")),
                                  .seed = seed_}));
    }
    return results;
  }

  void reinforce() {
    model_->set_training(false);
    if (!done("rl") && !(resume_ && resume_->stage == "rl")) save_folder(folder("model_sft"), *model_, recipe_);
    std::unique_ptr<Transformer> before;
    if (resume_ && resume_->stage == "rl") before = load_model(folder("model_sft"), model_->backend(), compute_type());
    if (before) std::swap(before, model_);
    const std::vector<GradedResult> at_start = evaluate_both();
    if (before) std::swap(before, model_);
    for (const GradedResult& result : at_start) summary_.comparisons.push_back({result.evaluation});
    summary_.before = transcripts(at_start[0]);
    const RlSettings settings = rl_settings(recipe_);
    if (settings.steps > 0) {
      std::unique_ptr<Transformer> reference;
      if (settings.loss.beta != 0) reference = load_model(folder("model_sft"), model_->backend(), compute_type());
      if (!(resume_ && resume_->stage == "rl"))
        metrics_.write("rl", 0, {{"accuracy", at_start[0].evaluation.accuracy}});
      summary_.stages.push_back(run_grpo(*model_, reference.get(), tokenizer_, *task_, settings, context("rl")));
      model_->set_training(false);
      const std::vector<GradedResult> at_end = evaluate_both();
      for (size_t i = 0; i < at_end.size(); i++) summary_.comparisons[i].after = at_end[i].evaluation;
      summary_.after = transcripts(at_end[0]);
    }
    save_folder(folder("model"), *model_, recipe_);
  }

  void finish() {
    std::filesystem::remove_all(checkpoint_folder(options_.run_dir));  // the model folders hold the result
    const std::string dir = options_.run_dir.string();
    summary_.written = {{dir + "/model_sft", "the model before reinforcement (Hugging Face folder)"},
                        {dir + "/model", "the model after it (Hugging Face folder)"},
                        {dir + "/report.md", "curves, before and after, transcripts"},
                        {dir + "/summary.json", "the figures, for programs"},
                        {dir + "/metrics.jsonl", "every step; TensorBoard events beside it"}};
    summary_.next_command = fmt::format("build/tenth chat --model {}/model", dir);
    write_report(options_.run_dir, summary_, metrics_);
  }

  const Recipe& recipe_;
  const PipelineOptions& options_;
  uint64_t seed_;
  std::unique_ptr<Task> task_;
  Tokenizer tokenizer_;
  MetricsWriter metrics_;
  double peak_;
  std::optional<Progress> resume_;
  std::vector<Problem> held_out_;
  std::unique_ptr<Transformer> model_;
  RunSummary summary_;
};

}  // namespace

RunSummary run_recipe(const Recipe& recipe, const PipelineOptions& options) { return Pipeline(recipe, options).run(); }

}  // namespace tenth
