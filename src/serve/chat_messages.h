// The conversation of a chat request, checked and put into the form that chat templates read; and the reply's form that
// follows from the prompt.
#pragma once
#include "chat/chat_request.h"
#include "serve/fields.h"
#include "serve/reply_parser.h"
#include "serve/sampling_fields.h"
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
// What every API of chats does with a request: renders it and completes sampling.request (prompt, thought, calls of
// tools that are required, limit). chat: the request in OpenAI's form; body: as it came, with thinking.budget_tokens or
// thinking_budget. The result is the form of the reply. Throws ApiError 400 naming the field; prompt_name: that of the
// conversation.
ReplyParser::Options prepare_chat(const Fields& chat, const Fields& body, SamplingFields& sampling,
                                  const Service& service, const char* prompt_name);
// Throws ApiError 400 where the model has no chat format.
const ChatRenderer& chat_of(const Service& service);

}  // namespace tenth
