// tenth eval: a model's answers to the problems of a JSONL file, graded.
#include <cstdio>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "eval/graded.h"
#include "problems/jsonl.h"

namespace tenth {
namespace {

struct EvalOptions {
  ModelOptions model;
  std::string problems, out;
  GradedOptions graded;
  bool json = false;
};

void eval(const EvalOptions& options) {
  const JsonlTask task(options.problems, {});
  const std::vector<Problem>& problems = task.problems();
  auto model = options.model.load();
  const Tokenizer tokenizer = options.model.load_tokenizer(*model);
  const GradedResult result = evaluate(*model, tokenizer, task, problems, options.graded);
  if (!options.out.empty()) {
    std::string lines;
    for (const GradedAnswer& answer : result.answers) {
      const Problem& problem = problems[answer.problem];
      lines +=
          OrderedJson{{"question", problem.question}, {"answer", problem.answer},    {"completion", answer.completion},
                      {"right", answer.right},        {"finished", answer.finished}, {"tokens", answer.tokens}}
              .dump(-1, ' ', false, Json::error_handler_t::replace) +
          "\n";
    }
    write_file(options.out, lines);
  }
  const Evaluation& e = result.evaluation;
  if (options.json) {
    const OrderedJson out = {{"problems", e.problems},
                             {"samples", e.samples},
                             {"temperature", e.temperature},
                             {"accuracy", e.accuracy},
                             {"standard_error", e.standard_error},
                             {"mean_length", e.mean_tokens},
                             {"thinking", e.thinking_share},
                             {"truncated", e.truncated_share}};
    std::puts(out.dump().c_str());
  } else {
    std::printf(
        "%ld problems, %ld samples each, temperature %g: accuracy %.1f %% (standard error %.1f), mean length %.1f "
        "tokens, truncated %.1f %%\n",
        long(e.problems), long(e.samples), e.temperature, 100 * e.accuracy, 100 * e.standard_error, e.mean_tokens,
        100 * e.truncated_share);
  }
}

}  // namespace

void add_eval_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("eval", "Grade a model's answers to problems");
  auto options = std::make_shared<EvalOptions>();
  options->model.add_to(*command);
  command->add_option("--problems", options->problems, "JSONL: question and answer a line")->required();
  command->add_option("--samples", options->graded.samples, "Answers to each problem")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command->add_option("--temperature", options->graded.temperature, "0: always the likeliest token")
      ->capture_default_str();
  command->add_option("--max-new-tokens", options->graded.max_new_tokens, "Longest answer")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--seed", options->graded.seed, "Seed of the draws")->capture_default_str();
  command->add_option("--out", options->out, "JSONL of transcripts to write");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: tenth eval --model runs/demo/model --problems problems.jsonl --json");
  command->callback([options] { eval(*options); });
}

}  // namespace tenth
