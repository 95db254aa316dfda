#include "cli/tokenize.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "base/error.h"
#include "base/ordered_json.h"
#include "base/text.h"
#include "cli/lines.h"
#include "cli/open_model.h"
#include "tokenizer/field.h"

namespace tenth {
namespace {

// Calls handle(line, "line N") for each line that is not empty.
template <class Handle>
void for_each_line(std::istream& in, const Handle& handle) {
  std::string line;
  for (size_t number = 1; next_line(in, line, number); number++)
    if (line.find_first_not_of(" \t\r") != std::string::npos) handle(line, fmt::format("line {}", number));
}

void write_line(std::ostream& out, const char* key, const Json& value) {
  // ASCII only: some readers of JSONL take U+2028 or U+0085 for the end of a line.
  out << Json{{key, value}}.dump(-1, ' ', true) << '\n';
  require(out.good(), ErrorKind::kIo, "standard output: cannot write");
}

// Errors from deeper down do not know the line.
template <class Work>
auto on_line(const std::string& where, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    throw Error(e.kind(), where + ": " + e.what());
  }
}

struct Options {
  std::string model;
  bool flag = false;
};

// The options live as long as the subcommand that fills them in.
template <class Run>
void add_command(CLI::App& app, const char* name, const char* what, const char* flag, const char* flag_what,
                 const char* example, const Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(name, what);
  add_model_option(*command, options->model, "folder with tokenizer.json, .gguf file, or name that was pulled");
  if (flag) command->add_flag(flag, options->flag, flag_what);
  command->footer(std::string("Example:\n  ") + example);
  command->callback([options, run] {
    const Tokenizer tokenizer = open_tokenizer(options->model);
    run(tokenizer, options->model, options->flag);
    std::cout.flush();
  });
}

}  // namespace

void tokenize_lines(const Tokenizer& tokenizer, bool special_tokens, std::istream& in, std::ostream& out) {
  for_each_line(in, [&](const std::string& line, const std::string& where) {
    const Json json = parse_json(line, where);
    const std::string& text = Field(json, where).at("text").string();
    std::vector<int32_t> ids = on_line(where, [&] { return tokenizer.encode(text, true); });
    write_line(out, "ids", special_tokens ? tokenizer.with_template(ids) : ids);
  });
}

void detokenize_lines(const Tokenizer& tokenizer, bool skip_special, std::istream& in, std::ostream& out) {
  for_each_line(in, [&](const std::string& line, const std::string& where) {
    const Json json = parse_json(line, where);
    const Field list = Field(json, where).at("ids");
    std::vector<int32_t> ids(list.size());
    for (size_t i = 0; i < ids.size(); i++) ids[i] = int32_t(list.at(i).integer(0, tokenizer.vocab_size() - 1));
    write_line(out, "text", on_line(where, [&] { return tokenizer.decode(ids, skip_special); }));
  });
}

void render_lines(const ChatRenderer& renderer, std::istream& in, std::ostream& out) {
  for_each_line(in, [&](const std::string& line, const std::string& where) {
    std::string text;
    try {
      const ChatRequest request = read_chat_request(parse_ordered_json(line, where), where);
      text = on_line(where, [&] { return renderer.render(request).text(); });
    } catch (const Error& e) {
      return write_line(out, "error", printable(e.what()));
    }
    write_line(out, "text", text);
  });
}

void add_tokenize_commands(CLI::App& app) {
  add_command(
      app, "tokenize", "Text to token ids: lines of {\"text\"} on standard input, lines of {\"ids\"} out",
      "--no-special", "without the tokens that the tokenizer puts around a text (bos)",
      "echo '{\"text\": \"3+5=?\"}' | tenth tokenize --model runs/demo/model",
      [](const Tokenizer& t, const Path&, bool no_special) { tokenize_lines(t, !no_special, std::cin, std::cout); });
  add_command(app, "detokenize", "Token ids to text: lines of {\"ids\"} on standard input, lines of {\"text\"} out",
              "--skip-special", "leave out special tokens",
              "echo '{\"ids\": [24, 7, 26]}' | tenth detokenize --model runs/demo/model",
              [](const Tokenizer& t, const Path&, bool skip) { detokenize_lines(t, skip, std::cin, std::cout); });
  add_command(
      app, "render",
      "A chat to the text that the model reads: lines of {\"messages\", \"tools\", \"kwargs\"} on standard "
      "input, lines of {\"text\"} or {\"error\"} out",
      nullptr, nullptr,
      "echo '{\"messages\": [{\"role\": \"user\", \"content\": \"3+5=?\"}], \"kwargs\": "
      "{\"add_generation_prompt\": true}}' | tenth render --model runs/demo/model",
      [](const Tokenizer& t, const Path& folder, bool) { render_lines(open_chat(t, folder), std::cin, std::cout); });
}

}  // namespace tenth
