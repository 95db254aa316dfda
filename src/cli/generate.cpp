// tenth generate.
#include <charconv>
#include <cstdio>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/gguf.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "engine/generator.h"

namespace tenth {
namespace {

struct GenerateOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string ids, prompt;
  bool json = false, ignore_eos = false;
};

std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    require(error == std::errc() && (stop == end || *stop == ','), ErrorKind::kInput,
            "--ids: expected numbers like 1,2,3, got {}", printable(text.substr(0, 100)));
    ids.push_back(id);
    if (stop == end) return ids;
    at = stop + 1;
  }
}

void generate(const GenerateOptions& options) {
  require(options.ids.empty() != options.prompt.empty(), ErrorKind::kInput,
          "generate: expected one of --ids and --prompt");
  auto model = options.model.load();
  std::optional<Tokenizer> tokenizer;
  const Path path = options.model.model;
  if (!options.prompt.empty() || is_gguf(path) || std::filesystem::exists(path / "tokenizer.json"))
    tokenizer = options.model.load_tokenizer(*model);
  GenerationRequest request;
  request.prompt = options.ids.empty() ? tokenizer->encode(options.prompt, true) : parse_ids(options.ids);
  request.sampling = options.sampling.sampling();
  request.max_new_tokens = options.sampling.max_new_tokens;
  const std::vector<int64_t>& ends = model->config().eos_token_ids;
  if (!options.ignore_eos) request.stop_ids.assign(ends.begin(), ends.end());
  Generator generator(*model, options.sampling.speculation.generation());
  const Completion completion = generator.generate({&request, 1}).at(0);
  const std::string text = tokenizer ? tokenizer->decode(completion.ids, false) : std::string();
  if (options.json) {
    OrderedJson out = {
        {"ids", completion.ids}, {"logprobs", completion.logprobs}, {"finish", completion.stopped ? "stop" : "length"}};
    if (tokenizer) out["text"] = text;
    if (options.sampling.speculation.on()) {
      out["drafts"] = generator.statistics().drafts;
      out["accepted"] = generator.statistics().accepted;
    }
    std::puts(out.dump().c_str());
  } else if (tokenizer) {
    put_text(text + "\n");
  } else {
    for (size_t i = 0; i < completion.ids.size(); i++) std::printf("%s%d", i ? "," : "", completion.ids[i]);
    std::puts("");
  }
  if (!options.json && options.sampling.speculation.on())
    std::fprintf(stderr, "%s\n", acceptance_text(generator.statistics()).c_str());
}

}  // namespace

void add_generate_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt");
  auto options = std::make_shared<GenerateOptions>();
  options->model.add_to(*command);
  command->add_option("--prompt", options->prompt, "Text to continue; special tokens in it count");
  command->add_option("--ids", options->ids, "Token ids to continue: 1,2,3");
  options->sampling.add_to(*command, 0);
  command->add_flag("--ignore-eos", options->ignore_eos, "Go on behind the end token");
  command->add_flag("--json", options->json, "One object: ids and logprobs of the new tokens, text");
  command->footer("Example: tenth generate --model runs/demo/model --prompt '<user>3+5+4=?<think>'");
  command->callback([options] { generate(*options); });
}

}  // namespace tenth
