// tenth train: a recipe from beginning to end.
#include <cstdio>

#include "base/error.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "rl/pipeline.h"

namespace tenth {
namespace {

struct TrainOptions {
  std::string recipe, out;
  std::vector<std::string> set;
  bool resume = false, keys = false;
};

void train(const TrainOptions& options) {
  if (options.keys) {
    std::fputs(describe_keys().c_str(), stdout);
    return;
  }
  require(!options.recipe.empty(), ErrorKind::kInput, "train: expected a recipe file, for example recipes/demo.toml");
  const Recipe recipe = Recipe::load(options.recipe, options.set);
  if (int64_t threads = recipe.integer("run.threads")) set_thread_count(int(threads));
  const Path out = options.out.empty() ? Path("runs") / Path(options.recipe).stem() : Path(options.out);
  const RunSummary summary =
      run_recipe(recipe, {.run_dir = out, .recipe_file = options.recipe, .resume = options.resume});
  std::fputs(summary_text(summary).c_str(), stdout);
  for (const Transcript& sample : summary.after.empty() ? summary.before : summary.after) {
    std::printf("%s  %s  <think>%s%s\n", sample.right ? "right" : "wrong", printable(sample.question).c_str(),
                printable(sample.completion).c_str(),
                sample.right ? "" : fmt::format("  (expected {})", printable(sample.expected)).c_str());
  }
}

}  // namespace

void add_train_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Run a recipe: pretrain, SFT, reinforcement, evaluation, report");
  auto options = std::make_shared<TrainOptions>();
  command->add_option("recipe", options->recipe, "Recipe file (TOML)");
  command->add_option("--out", options->out, "Folder of the run; default runs/<recipe's name>");
  command->add_option("--set", options->set, "Override a key: --set rl.lr=1e-4 (again for more)")
      ->allow_extra_args(false);
  command->add_flag("--resume", options->resume, "Go on where an interrupted run of the same recipe stopped");
  command->add_flag("--keys", options->keys, "Print every recipe key with its meaning, unit and default");
  command->footer("Example: tenth train recipes/demo.toml --set run.seed=2 --out runs/second");
  command->callback([options] { train(*options); });
}

}  // namespace tenth
