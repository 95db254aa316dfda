// The conversation of a chat request, checked and put into the form that chat templates read; and the reply's form that
// follows from the prompt.
#pragma once
#include "chat/chat_request.h"
#include "serve/fields.h"
#include "serve/reply_parser.h"
#include "serve/service.h"

namespace tenth {

struct ChatPrompt {
  std::vector<int32_t> ids;
  ReplyParser::Options reply;  // but stops
};

// Of messages, tools, tool_choice, reasoning_effort, thinking and chat_template_kwargs (OpenAI's form). Throws ApiError
// 400 naming the field.
ChatRequest read_chat(const Fields& fields, const Service& service);
ChatPrompt render_chat(const ChatRequest& chat, const Service& service);
// The model's marks of thought, whether the prompt opened it, and the budget: thinking.budget_tokens or
// thinking_budget. Throws ApiError 400 for a budget where the model has no such marks.
Thinking thinking_of(const Fields& fields, const ChatPrompt& prompt, const Service& service);
// Throws ApiError 400 where the model has no chat format.
const ChatRenderer& chat_of(const Service& service);

}  // namespace tenth
