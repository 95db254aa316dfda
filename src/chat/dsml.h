// What the coded formats share: a prompt under construction, and DSML.
#pragma once
#include <string>
#include <string_view>

#include "chat/chat_request.h"

namespace tenth {

inline constexpr const char* kBegin = "<｜begin▁of▁sentence｜>";
inline constexpr const char* kEnd = "<｜end▁of▁sentence｜>";
inline constexpr const char* kUserTurn = "<｜User｜>";
inline constexpr const char* kAssistantTurn = "<｜Assistant｜>";
inline constexpr const char* kThink = "<think>";
inline constexpr const char* kEndThink = "</think>";

class Prompt {
 public:
  void frame(std::string_view text) { text_.append(text, Origin::kFrame); }
  void data(std::string_view text, Origin origin) { text_.append(text, origin); }
  MarkedText take() { return std::move(text_); }

  // json.dumps(value, ensure_ascii=False)
  void json(const OrderedJson& value, Origin origin);
  // The schemas of tools, one a line.
  void schemas(const OrderedJson& tools);
  // "\n\n## Response Format: …" where the message has one.
  void response_format(const OrderedJson& message);
  // The calls of an assistant's message within <｜DSML｜block>, with a blank line before it; nothing where it has none.
  void tool_calls(const OrderedJson& message, const std::string& block);

 private:
  void call(const OrderedJson& call);
  MarkedText text_;
};

// The member, or null where it is not there.
const OrderedJson& member(const OrderedJson& object, const char* key);
// Its text; "" where it is absent or null. Throws kInput for another type.
std::string text_member(const OrderedJson& object, const char* key);
// The text of content: a string, or a list of {"type": "text", "text"} put together with between.
std::string content_text(const OrderedJson& content, const char* between);
bool flag(const ChatRequest& request, const char* key, bool otherwise);
bool thinks(const ChatRequest& request);

// The messages, with the request's tools in the first one (a new one where that is no system's or developer's).
OrderedJson messages_with_tools(const ChatRequest& request);
// The index of the last message of a user or developer; -1 where there is none.
int64_t last_user(const OrderedJson& messages);

}  // namespace tenth
