// tenth sweep: one recipe under every combination of listed values, one run after another.
#include "train/sweep.h"

#include <cstdio>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "run/run.h"

namespace tenth {
namespace {

struct SweepOptions {
  std::string recipe, out;
  std::vector<std::string> set;
};

enum class State { kNew, kCut, kFinished };

// What stands in a run's folder from an earlier call.
State state_of(const SweepRun& run, const Path& folder) {
  namespace fs = std::filesystem;
  const Path recipe = folder / "recipe.toml";
  if (!fs::exists(recipe) || !fs::exists(folder / "metrics.jsonl")) return State::kNew;
  require(read_file(recipe) == run.recipe.to_toml(), ErrorKind::kInput,
          "{}: the run there had other settings; name another folder for this sweep with --out", recipe.string());
  return fs::exists(folder / "summary.json") ? State::kFinished : State::kCut;
}

// Runs what is left of it. What its settings spoil (numbers that are not finite, a model that cannot be) is a row; what
// would end every other run as well (a full disk, Ctrl-C) ends the sweep.
SweepRow run_one(const SweepRun& run, const Path& folder, const std::string& recipe_file, int threads) {
  const State state = state_of(run, folder);
  try {
    const int64_t wanted = run.recipe.integer("run.threads");
    set_thread_count(wanted ? int(wanted) : threads);
    if (state != State::kFinished)
      run_recipe(run.recipe, {.run_dir = folder, .recipe_file = recipe_file, .resume = state == State::kCut});
    return sweep_row(run, folder);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kIo || e.kind() == ErrorKind::kInternal) throw;
    SweepRow row{.settings = run.settings, .folder = run.name};
    row.error = e.what();
    return row;
  }
}

void write_tables(const Path& out, const std::string& recipe, const std::vector<SweepRow>& rows) {
  write_file(out / "sweep.md", sweep_markdown(recipe, rows));
  write_file(out / "sweep.json", sweep_json(recipe, rows));
}

void sweep(const SweepOptions& options) {
  const std::vector<SweepRun> runs = sweep_runs(options.recipe, options.set);
  const Path out =
      options.out.empty() ? Path("runs") / ("sweep-" + Path(options.recipe).stem().string()) : Path(options.out);
  for (const SweepRun& run : runs) state_of(run, out / run.name);  // all of them, before the first one runs
  std::error_code error;
  std::filesystem::create_directories(out, error);
  require(!error, ErrorKind::kIo, "{}: cannot create the folder: {}", out.string(), error.message());
  const int threads = thread_count();
  std::vector<SweepRow> rows;
  for (const SweepRun& run : runs) {
    std::fprintf(stderr, "run %zu of %zu: %s\n", rows.size() + 1, runs.size(), run.name.c_str());
    try {
      rows.push_back(run_one(run, out / run.name, options.recipe, threads));
    } catch (const Error& e) {
      if (!interrupted()) throw;
      fail(e.kind(), "sweep stopped in run {} of {} ({}); the same command goes on there", rows.size() + 1, runs.size(),
           run.name);
    }
    if (!rows.back().error.empty()) std::fprintf(stderr, "%s\n", printable(rows.back().error).c_str());
    write_tables(out, options.recipe, rows);
    // A wish that came after the run's last step.
    require(!interrupted() || rows.size() == runs.size(), ErrorKind::kIo,
            "sweep stopped after run {} of {}; the same command goes on there", rows.size(), runs.size());
  }
  std::fputs(sweep_text(rows).c_str(), stdout);
  std::printf("written: %s, %s\n", (out / "sweep.md").string().c_str(), (out / "sweep.json").string().c_str());
}

}  // namespace

void add_sweep_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("sweep", "Run a recipe under every combination of listed values");
  auto options = std::make_shared<SweepOptions>();
  command->add_option("recipe", options->recipe, "Recipe file (TOML)")->required();
  command->add_option("--set", options->set, "Values of a key: --set optim.lr=1e-3,3e-3 (again for more keys)")
      ->required()
      ->allow_extra_args(false);
  command->add_option("--out", options->out, "Folder of the runs; default runs/sweep-<recipe's name>");
  command->footer(
      "A second call keeps finished runs and goes on where one was cut.\n"
      "Example: tenth sweep recipes/demo.toml --set optim.lr=0.01,0.02 --set run.seed=1,2");
  command->callback([options] { sweep(*options); });
}

}  // namespace tenth
