// tenth chat: a conversation in the model's own format.
#include <editline/readline.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/model_options.h"
#include "cli/open_model.h"
#include "cli/sampling_options.h"
#include "engine/generator.h"
#include "eval/graded.h"
#include "tokenizer/chat_format.h"

namespace tenth {
namespace {

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string system, thinking;
};

class Conversation {
 public:
  Conversation(Generator& generator, const Tokenizer& tokenizer, const ChatOptions& options)
      : generator_(generator),
        tokenizer_(tokenizer),
        renderer_(open_chat(tokenizer, options.model.model)),
        options_(options),
        single_turns_(tokenizer.chat_template() == chat_template()) {
    request_.messages = OrderedJson::array();
    if (!options.system.empty()) request_.messages.push_back({{"role", "system"}, {"content", options.system}});
    request_.kwargs = {{"add_generation_prompt", true}};
    if (options.thinking.empty()) return;
    for (const char* name : {"enable_thinking", "thinking"}) request_.kwargs[name] = options.thinking == "on";
  }

  // Streams the answer. A question that is refused leaves the conversation as it was.
  void ask(const std::string& question) {
    require(well_formed_prefix(question) == question.size(), ErrorKind::kInput,
            "text: expected well formed UTF-8, got byte {} that is not", well_formed_prefix(question));
    const ChatRequest before = request_;
    request_.messages.push_back({{"role", "user"}, {"content", question}});
    try {
      std::string said = answer();
      request_.messages.push_back({{"role", "assistant"}, {"content", std::move(said)}});
    } catch (...) {
      request_ = before;
      throw;
    }
    if (single_turns_) request_ = before;  // the models that tenth trains know no others
  }

 private:
  // Thinking is shown dim on a terminal.
  std::string answer() {
    GenerationRequest request;
    request.prompt = renderer_.encode(request_);
    request.sampling = options_.sampling.sampling();
    request.max_new_tokens = options_.sampling.max_new_tokens;
    request.stop_ids = stop_ids(tokenizer_, generator_.config());
    const bool colour = isatty(STDOUT_FILENO);
    StreamDecoder decoder(tokenizer_, false);
    const std::optional<int32_t> end_of_thinking = tokenizer_.id_of("</think>");
    std::string lead = opening(colour);  // printed once there is an answer
    std::string said;
    auto put = [&](std::string text) {
      put_text(text);
      said += text;
    };
    auto take = [&](size_t, int32_t, int32_t id) {
      std::fputs(std::exchange(lead, "").c_str(), stdout);
      if (std::count(request.stop_ids.begin(), request.stop_ids.end(), id)) return true;
      put(decoder.push(id));
      if (colour && id == end_of_thinking) std::fputs("\033[0m", stdout);
      std::fflush(stdout);
      return true;
    };
    const Completion completion = generator_.generate({&request, 1}, take).at(0);
    put(decoder.finish());
    if (colour) std::fputs("\033[0m", stdout);
    std::puts(completion.stopped ? "" : " … (cut at --max-new-tokens)");
    return said;
  }

  // Where the prompt ends within a thought, the answer goes on with it.
  std::string opening(bool colour) const {
    std::string prompt = renderer_.render(request_).text();
    prompt.erase(prompt.find_last_not_of('\n') + 1);
    if (!prompt.ends_with("<think>")) return "";
    return colour ? "\033[2m<think>" : "<think>";
  }

  Generator& generator_;
  const Tokenizer& tokenizer_;
  const ChatRenderer renderer_;
  const ChatOptions& options_;
  const bool single_turns_;
  ChatRequest request_;
};

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
  Generator generator(*model, options.sampling.speculation.generation());
  Conversation conversation(generator, tokenizer, options);
  const bool terminal = isatty(STDIN_FILENO);
  if (terminal) std::puts("Ask, for example 3+5+4+6-1=?   (an empty line or Ctrl-D ends)");
  size_t questions = 0, unanswered = 0;
  while (const auto line = read_question(terminal, questions + 1)) {
    if (line->empty()) break;
    questions++;
    try {
      conversation.ask(*line);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kInput) throw;
      std::fflush(stdout);
      std::fprintf(stderr, "%s\n", printable(e.what()).c_str());
      unanswered++;
    }
  }
  if (options.sampling.speculation.on()) std::fprintf(stderr, "%s\n", acceptance_text(generator.statistics()).c_str());
  require(terminal || unanswered == 0, ErrorKind::kInput, "{} of {} questions got no answer", unanswered, questions);
}

}  // namespace

void add_chat_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("chat", "Talk to a model");
  auto options = std::make_shared<ChatOptions>();
  options->model.add_to(*command);
  options->sampling.add_to(*command, 0);
  command->add_option("--system", options->system, "What the model is told first");
  command->add_option("--thinking", options->thinking, "on or off, for templates that let one choose")
      ->check(CLI::IsMember({"on", "off"}));
  command->footer("Example: tenth chat runs/demo/model");
  command->callback([options] { chat(*options); });
}

}  // namespace tenth
