// tenth generate, tenth chat.
#include <editline/readline.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/model_options.h"
#include "engine/generator.h"
#include "eval/graded.h"
#include "tokenizer/chat_format.h"

namespace tenth {
namespace {

struct SamplingOptions {
  SamplingParams params;
  int32_t max_new_tokens = 128;
  int64_t seed = -1;  // -1: another one each time
  bool speculate = false;

  void add_to(CLI::App& command, double temperature) {
    params.temperature = temperature;
    command.add_option("--max-new-tokens", max_new_tokens, "Longest answer")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 24));
    command.add_option("--temperature", params.temperature, "0: always the likeliest token")->capture_default_str();
    command.add_option("--top-k", params.top_k, "Keep the k likeliest; 0: all")->capture_default_str();
    command.add_option("--top-p", params.top_p, "Keep the likeliest up to this probability")->capture_default_str();
    command.add_option("--min-p", params.min_p, "Keep what is at least this share of the likeliest")
        ->capture_default_str();
    command.add_option("--repetition-penalty", params.repetition_penalty, "1: none")->capture_default_str();
    command.add_option("--seed", seed, "Seed of the draws; -1: another one each time")
        ->capture_default_str()
        ->check(CLI::Range(int64_t(-1), int64_t(1) << 53));
    command.add_flag("--speculate", speculate, "Draft with the multi-token prediction module; the output is the same");
  }
  SamplingParams sampling() const {
    SamplingParams p = params;
    p.seed = seed >= 0 ? uint64_t(seed) : std::random_device{}();
    check_sampling(p);
    return p;
  }
};

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

// What a model says may hold sequences that command a terminal: there they are shown as text.
void put_text(const std::string& text) {
  const std::string shown = isatty(STDOUT_FILENO) ? printable(text) : text;
  std::fwrite(shown.data(), 1, shown.size(), stdout);
}

void generate(const GenerateOptions& options) {
  require(options.ids.empty() != options.prompt.empty(), ErrorKind::kInput,
          "generate: expected one of --ids and --prompt");
  auto model = options.model.load();
  std::optional<Tokenizer> tokenizer;
  if (!options.prompt.empty() || std::filesystem::exists(Path(options.model.model) / "tokenizer.json")) {
    tokenizer = options.model.load_tokenizer(*model);
  }
  GenerationRequest request;
  request.prompt = options.ids.empty() ? tokenizer->encode(options.prompt, true) : parse_ids(options.ids);
  request.sampling = options.sampling.sampling();
  request.max_new_tokens = options.sampling.max_new_tokens;
  const std::vector<int64_t>& ends = model->config().eos_token_ids;
  if (!options.ignore_eos) request.stop_ids.assign(ends.begin(), ends.end());
  Generator generator(*model, {.slots = 1, .speculate = options.sampling.speculate});
  const Completion completion = generator.generate({&request, 1}).at(0);
  const std::string text = tokenizer ? tokenizer->decode(completion.ids, false) : std::string();
  if (options.json) {
    OrderedJson out = {
        {"ids", completion.ids}, {"logprobs", completion.logprobs}, {"finish", completion.stopped ? "stop" : "length"}};
    if (tokenizer) out["text"] = text;
    if (options.sampling.speculate) {
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
}

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
};

// One question, one answer: the models that tenth trains know single turns. Thinking is shown dim on a terminal.
void answer(Generator& generator, const Tokenizer& tokenizer, const ChatOptions& options, const std::string& question) {
  GenerationRequest request;
  request.prompt = encode_chat(tokenizer, {{"user", question}}, true);
  request.sampling = options.sampling.sampling();
  request.max_new_tokens = options.sampling.max_new_tokens;
  request.stop_ids = stop_ids(tokenizer, generator.config());
  const bool colour = isatty(STDOUT_FILENO);
  StreamDecoder decoder(tokenizer, false);
  const std::optional<int32_t> end_of_thinking = tokenizer.id_of("</think>");
  std::string lead = colour ? "\033[2m<think>" : "<think>";  // printed once there is an answer
  const Completion completion = generator
                                    .generate({&request, 1},
                                              [&](size_t, int32_t, int32_t id) {
                                                std::fputs(std::exchange(lead, "").c_str(), stdout);
                                                if (std::count(request.stop_ids.begin(), request.stop_ids.end(), id))
                                                  return true;
                                                put_text(decoder.push(id));
                                                if (colour && id == end_of_thinking) std::fputs("\033[0m", stdout);
                                                std::fflush(stdout);
                                                return true;
                                              })
                                    .at(0);
  put_text(decoder.finish());
  if (colour) std::fputs("\033[0m", stdout);
  std::puts(completion.stopped ? "" : " … (cut at --max-new-tokens)");
}

std::optional<std::string> read_question(bool terminal, size_t number) {
  if (!terminal) {
    std::string line;
    if (!next_line(std::cin, line, number)) return std::nullopt;
    return line;
  }
  char* raw = readline("> ");
  if (!raw) return std::nullopt;
  std::string line = raw;
  if (!line.empty()) add_history(raw);
  std::free(raw);
  return line;
}

void chat(const ChatOptions& options) {
  auto model = options.model.load();
  const Tokenizer tokenizer = options.model.load_tokenizer(*model);
  require_chat_template(tokenizer);
  Generator generator(*model, {.slots = 1, .speculate = options.sampling.speculate});
  const bool terminal = isatty(STDIN_FILENO);
  if (terminal) std::puts("Ask, for example 3+5+4+6-1=?   (an empty line or Ctrl-D ends)");
  size_t questions = 0, unanswered = 0;
  while (const auto line = read_question(terminal, questions + 1)) {
    if (line->empty()) break;
    questions++;
    try {
      answer(generator, tokenizer, options, *line);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kInput) throw;
      std::fflush(stdout);
      std::fprintf(stderr, "%s\n", printable(e.what()).c_str());
      unanswered++;
    }
  }
  require(terminal || unanswered == 0, ErrorKind::kInput, "{} of {} questions got no answer", unanswered, questions);
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

  CLI::App* talk = app.add_subcommand("chat", "Talk to a model");
  auto chat_options = std::make_shared<ChatOptions>();
  chat_options->model.add_to(*talk);
  chat_options->sampling.add_to(*talk, 0);
  talk->footer("Example: tenth chat --model runs/demo/model");
  talk->callback([chat_options] { chat(*chat_options); });
}

}  // namespace tenth
