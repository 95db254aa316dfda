#include "run/task_run.h"

#include <algorithm>

#include "base/rng.h"
#include "checkpoint/model_folder.h"
#include "eval/graded.h"
#include "rl/grpo.h"
#include "rl/task_dataset.h"
#include "run/recipe_run.h"
#include "tokenizer/chat_format.h"

namespace tenth {
namespace {

class TaskRun {
 public:
  TaskRun(const Recipe& recipe, const RunOptions& options)
      : recipe_(recipe),
        task_(make_task(recipe.text("task.name"), recipe.task_numbers(), recipe.text("task.file"))),
        run_(recipe, options),
        held_out_(task_->held_out(int(recipe.integer("run.eval_problems")))) {
    check_prompts();
    run_.begin(task_->name());
  }

  RunSummary run() {
    supervised("train", TaskDataset::Kind::kDocuments, 1);
    supervised("sft", TaskDataset::Kind::kDemonstrations, 2);
    reinforce();
    const std::string dir = run_.folder("").string();
    summary().written = {{dir + "model_sft", "the model before reinforcement (Hugging Face folder)"},
                         {dir + "model", "the model after it (Hugging Face folder)"}};
    summary().next_command = fmt::format("build/tenth chat --model {}model", dir);
    run_.finish();
    return summary();
  }

 private:
  RunSummary& summary() { return run_.summary(); }
  const Tokenizer& tokenizer() const { return run_.tokenizer(); }

  void check_prompts() {
    stop_id(tokenizer());  // throws where answers could not end
    require(recipe_.integer("train.context_warmup_steps") == 0, ErrorKind::kInput,
            "{}: train.context_warmup_steps: expected 0 with a task, whose problems are not cut",
            recipe_.where("train.context_warmup_steps"));
    require(!held_out_.empty(), ErrorKind::kInput,
            "{}: task.name: {} has no held-out problems (one in eight is): expected at least one",
            recipe_.where("task.name"), task_->name());
    size_t longest = 0;
    for (const Problem& problem : held_out_)
      longest = std::max(longest, encode_prompt(tokenizer(), problem.question).size());
    const int64_t limit = recipe_.integer("rl.max_new_tokens"), context = run_.model().config().max_position_embeddings;
    require(int64_t(longest) + limit <= context, ErrorKind::kInput,
            "{}: rl.max_new_tokens: expected at most {}, for prompts have up to {} tokens and the model's context {}, "
            "got {}",
            recipe_.where("rl.max_new_tokens"), context - int64_t(longest), longest, context, limit);
  }

  // stream: of random numbers, apart from the weights' and each other's.
  void supervised(const std::string& stage, TaskDataset::Kind kind, uint64_t stream) {
    const TaskDataset data(*task_, tokenizer(), kind, philox(run_.seed(), stream, 0)[0] | stream << 32,
                           recipe_.integer(stage + ".batch_tokens"));
    run_.supervised(stage, data);
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
      results.push_back(evaluate(model, tokenizer(), *task_, held_out_,
                                 {.temperature = temperature,
                                  .max_new_tokens = int32_t(recipe_.integer("rl.max_new_tokens")),
                                  .seed = run_.seed()}));
    }
    return results;
  }

  // The model before reinforcement is read back from its folder, to the same bits: so it is there in a resumed run.
  void reinforce() {
    Transformer& model = run_.model();
    model.set_training(false);
    const bool begun = run_.resumed_in("rl");
    if (!begun) run_.save_folder("model_sft");
    auto start = load_model(run_.folder("model_sft"), model.backend(), run_.compute_type());
    const std::vector<GradedResult> at_start = evaluate_both(*start);
    for (const GradedResult& result : at_start) summary().comparisons.push_back({result.evaluation});
    summary().before = transcripts(at_start[0]);
    const RlSettings settings = rl_settings(recipe_);
    if (settings.steps > 0) {
      if (!begun) {
        run_.metrics().write("rl", 0, {{"accuracy", at_start[0].evaluation.accuracy}});
        put_samples(run_.folder(""), "rl", 0, first_samples(at_start[0], held_out_, settings.samples_shown));
      }
      if (settings.loss.beta == 0) start.reset();
      if (!run_.done("rl")) run_grpo(model, start.get(), tokenizer(), *task_, settings, run_.context("rl"));
      run_.add_stage("rl");
      model.set_training(false);
      const std::vector<GradedResult> at_end = evaluate_both(model);
      for (size_t i = 0; i < at_end.size(); i++) summary().comparisons[i].after = at_end[i].evaluation;
      summary().after = transcripts(at_end[0]);
    }
    run_.save_folder("model");
  }

  const Recipe& recipe_;
  std::unique_ptr<Task> task_;
  RecipeRun run_;
  std::vector<Problem> held_out_;
};

}  // namespace

RunSummary run_task(const Recipe& recipe, const RunOptions& options) { return TaskRun(recipe, options).run(); }

}  // namespace tenth
