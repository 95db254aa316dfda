// tenth pull: a model from a hub into the cache that other tools use too.
#include "hub/pull.h"

#include <cstdio>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/commands.h"
#include "train/progress.h"

namespace tenth {
namespace {

struct Options {
  std::string model, revision;
  std::vector<std::string> include;
};

void run(const Options& options) {
  auto name = parse_hub_name(options.revision.empty() ? options.model : options.model + "@" + options.revision);
  require(name.has_value(), ErrorKind::kInput, "pull: expected OWNER/NAME, got {}", options.model);
  constexpr int64_t kMegabyte = 1'000'000;
  std::optional<ProgressLine> line;
  watch_interrupts();
  const Path folder =
      pull({.name = *name,
            .endpoint = hub_endpoint(),
            .token = hub_token(),
            .cache = hub_cache(),
            .include = options.include,
            .progress = [&](int64_t done, int64_t total) {
              if (!line) line.emplace("pull, MB", (total + kMegabyte - 1) / kMegabyte, 0, done / kMegabyte);
              line->update({.step = done == total ? (total + kMegabyte - 1) / kMegabyte : done / kMegabyte});
            }});
  if (line) line->finish();
  std::puts(folder.c_str());
}

}  // namespace

void add_pull_commands(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("pull", "Download a model from a hub; commands then take its name as --model");
  command->add_option("model", options->model, "OWNER/NAME")->required();
  command->add_option("--revision", options->revision, "Branch, tag or commit; main where not given");
  command->add_option("--include", options->include, "Only files whose path matches, such as '*Q8_0*.gguf'");
  command->footer(
      "Goes on where it stopped; checks every hash. HF_TOKEN, HF_ENDPOINT, HF_HUB_CACHE and HF_HOME as for other "
      "tools.\n"
      "Example:\n  tenth pull deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B");
  command->callback([options] { run(*options); });
}

}  // namespace tenth
