// tenth train: a recipe from beginning to end.
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "run/run.h"
#include "train/stage_loop.h"

namespace tenth {
namespace {

struct TrainOptions {
  std::string recipe, out;
  std::vector<std::string> set;
  std::optional<std::string> stop_at;
  bool resume = false, keys = false, profile = false;
};

// STEP of the stage train, or STAGE:STEP.
Progress parse_stop(const std::string& text) {
  const size_t colon = text.find(':');
  Progress stop{colon == text.npos ? "train" : text.substr(0, colon), 0};
  const std::string_view number = std::string_view(text).substr(colon == text.npos ? 0 : colon + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), stop.step);
  const auto& stages = stage_names();
  require(error == std::errc() && end == number.data() + number.size() &&
              std::find(stages.begin(), stages.end(), stop.stage) != stages.end(),
          ErrorKind::kInput, "--stop-at: expected STEP, or STAGE:STEP with train, sft or rl, got {}", printable(text));
  return stop;
}

void train(const TrainOptions& options) {
  if (options.keys) {
    std::fputs(describe_keys().c_str(), stdout);
    return;
  }
  require(!options.recipe.empty(), ErrorKind::kInput, "train: expected a recipe file, for example recipes/demo.toml");
  const Recipe recipe = Recipe::load(options.recipe, options.set);
  if (int64_t threads = recipe.integer("run.threads")) set_thread_count(int(threads));
  const Path out = options.out.empty() ? Path("runs") / Path(options.recipe).stem() : Path(options.out);
  std::optional<Progress> stop_at;
  if (options.stop_at) stop_at = parse_stop(*options.stop_at);
  const RunSummary summary = run_recipe(recipe, {.run_dir = out,
                                                 .recipe_file = options.recipe,
                                                 .resume = options.resume,
                                                 .stop_at = stop_at,
                                                 .profile = options.profile});
  std::fputs((summary.profile + (summary.profile.empty() ? "" : "\n") + summary_text(summary)).c_str(), stdout);
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
  command->add_option("--stop-at", options->stop_at,
                      "Save and stop, with exit code 0, when so many steps of [train] are done, or STAGE:STEP");
  command->add_flag("--profile", options->profile, "Print at the end where the time of the run went, by operation");
  command->add_flag("--keys", options->keys, "Print every recipe key with its meaning, unit and default");
  command->footer("Example: tenth train recipes/demo.toml --set run.seed=2 --out runs/second");
  command->callback([options] {
    try {
      train(*options);
    } catch (const Stopped& e) {
      if (interrupted()) throw;
      std::printf("%s\n", e.what());
    }
  });
}

}  // namespace tenth
