// tenth perplexity: how well a model predicts a text, in llama.cpp's measure.
#include "eval/perplexity.h"

#include <cmath>
#include <cstdio>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "train/progress.h"

namespace tenth {
namespace {

struct Options {
  ModelOptions model;
  std::string text;
  PerplexityOptions perplexity;
  bool no_bos = false, json = false;
};

// The token that the tokenizer's files put before a text, if any.
std::optional<int32_t> leading_token(const Tokenizer& tokenizer) {
  const std::vector<int32_t> around = tokenizer.with_template({});
  return around.empty() ? std::nullopt : std::optional(around[0]);
}

void run(Options options) {
  auto model = options.model.load();
  const Tokenizer tokenizer = options.model.load_tokenizer(*model);
  const std::vector<int32_t> ids = tokenizer.encode(read_file(options.text), false);
  if (!options.no_bos) options.perplexity.bos = leading_token(tokenizer);
  std::optional<ProgressLine> line;
  options.perplexity.progress = [&](int64_t done, int64_t all, double value) {
    if (!line) line.emplace("perplexity", all);
    line->update({.step = done, .loss = std::log(value)});
  };
  const PerplexityResult result = perplexity(*model, ids, options.perplexity);
  if (options.json) {
    const OrderedJson out = {
        {"perplexity", result.perplexity}, {"standard_error", result.standard_error},  {"loss", result.loss},
        {"chunks", result.chunks},         {"context", options.perplexity.context},    {"scored", result.scored},
        {"text_tokens", ids.size()},       {"bos", options.perplexity.bos.has_value()}};
    std::puts(out.dump().c_str());
  } else {
    std::printf("perplexity %.4f ± %.4f over %ld tokens, the second halves of %ld chunks of %ld%s\n", result.perplexity,
                result.standard_error, long(result.scored), long(result.chunks), long(options.perplexity.context),
                options.perplexity.bos ? ", each begun with the beginning-of-text token" : "");
  }
}

}  // namespace

void add_perplexity_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("perplexity", "Perplexity of a text, as llama.cpp measures it");
  auto options = std::make_shared<Options>();
  options->model.add_to(*command);
  command->add_option("--text", options->text, "Text file")->required();
  command->add_option("--context", options->perplexity.context, "Tokens of a chunk, whose second half is scored")
      ->capture_default_str();
  command->add_option("--chunks", options->perplexity.chunks, "Chunks to read; 0: all of the text")
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), int64_t(1) << 40));
  command->add_flag("--no-bos", options->no_bos, "Do not begin chunks with the token that the tokenizer puts first");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: tenth perplexity --model model.gguf --text book.txt --context 512 --chunks 16 --json");
  command->callback([options] { run(*options); });
}

}  // namespace tenth
