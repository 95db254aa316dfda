// Conversations to the prompt that a model reads: by the model's own Jinja template, or, for models that are released
// without one, by a format that is written out in code.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "chat/chat_request.h"
#include "chat/tool_format.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

// Immutable and cheap to copy; may be used by many threads at once.
class ChatRenderer {
 public:
  // The template of the tokenizer's files; without one, the coded format of the architecture that config.json in
  // model_dir names (deepseek_v32, deepseek_v4). Throws kInput where there is neither, and as jinja::Template does.
  static ChatRenderer load(const Tokenizer& tokenizer, const Path& model_dir);
  // The same for a model that is no folder.
  static ChatRenderer of(const Tokenizer& tokenizer, const std::string& model_type, const std::string& where);

  // The prompt's text. What an assistant message holds is marked as the model's, all else of the request as a user's.
  // Throws kInput where the template refuses the request.
  MarkedText render(const ChatRequest& request) const;

  // How the model writes calls of tools.
  ToolFormat tools() const;

  // The prompt's ids. Nothing that a user wrote becomes a control token; nor does what stands in an assistant's
  // message, if the template itself writes that token (it begins or ends turns).
  std::vector<int32_t> encode(const ChatRequest& request) const;

 private:
  class Format;
  class JinjaFormat;
  class CodedFormat;
  ChatRenderer(const Tokenizer& tokenizer, std::shared_ptr<const Format> format);

  Tokenizer tokenizer_;
  std::shared_ptr<const Format> format_;
};

}  // namespace tenth
