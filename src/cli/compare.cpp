// tenth compare: runs side by side, and what each needed to reach the same loss.
#include "train/compare.h"

#include <cstdio>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"

namespace tenth {
namespace {

struct CompareOptions {
  std::vector<std::string> runs;
  std::string out = "runs/compare";
};

void compare(const CompareOptions& options) {
  std::vector<ComparedRun> runs;
  for (const std::string& folder : options.runs) runs.push_back(read_compared_run(folder));
  const std::vector<RunGroup> groups = group_runs(std::move(runs));
  const std::vector<ComparisonChart> charts = comparison_charts(groups);
  const Path out = options.out;
  std::error_code error;
  std::filesystem::create_directories(out, error);
  require(!error, ErrorKind::kIo, "{}: cannot create the folder: {}", out.string(), error.message());
  for (const ComparisonChart& chart : charts) write_file(out / chart.file, line_chart_svg(chart.chart));
  write_file(out / "compare.md", comparison_markdown(groups, charts));
  std::fputs(comparison_text(groups).c_str(), stdout);
  std::printf("written: %s, with curves\n", printable((out / "compare.md").string()).c_str());
}

}  // namespace

void add_compare_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("compare", "Runs side by side: what each needed to reach the same loss");
  auto options = std::make_shared<CompareOptions>();
  command->add_option("runs", options->runs, "Folders of runs; the first is the control; seeds of one recipe are one")
      ->required();
  command->add_option("--out", options->out, "Folder for compare.md and the curves")->capture_default_str();
  command->footer("Example: tenth compare runs/dense-1 runs/dense-2 runs/books-1 runs/books-2");
  command->callback([options] { compare(*options); });
}

}  // namespace tenth
