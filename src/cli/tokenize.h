// tenth tokenize | detokenize | render: text, ids and chats through a model's tokenizer, a JSON object a line.
#pragma once
#include <CLI/App.hpp>
#include <iosfwd>

#include "chat/chat_renderer.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

// Adds the three subcommands. Their errors are thrown out of app.parse.
void add_tokenize_commands(CLI::App& app);

// {"text": ...} -> {"ids": [...]}; special_tokens: with the tokens that the tokenizer's post-processor adds. Stops at
// the first line that is wrong.
void tokenize_lines(const Tokenizer& tokenizer, bool special_tokens, std::istream& in, std::ostream& out);
// {"ids": [...]} -> {"text": ...}, likewise.
void detokenize_lines(const Tokenizer& tokenizer, bool skip_special, std::istream& in, std::ostream& out);
// {"messages", "tools", "kwargs"} -> {"text": ...}, or {"error": ...} for what the chat template refuses. Goes on
// behind a line that is wrong.
void render_lines(const ChatRenderer& renderer, std::istream& in, std::ostream& out);

}  // namespace tenth
