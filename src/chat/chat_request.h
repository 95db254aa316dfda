// A conversation as a client gives it.
#pragma once
#include <string>

#include "base/json.h"
#include "base/marked_text.h"

namespace tenth {

// As in an OpenAI request; what the members mean beyond role and content is the template's business.
struct ChatRequest {
  OrderedJson messages;  // a list of objects
  OrderedJson tools;     // a list, or null
  OrderedJson kwargs;    // an object of variables (add_generation_prompt, enable_thinking, …)
};

// Reads {"messages", "tools", "kwargs"}. Throws kInput "<where>: …".
ChatRequest read_chat_request(const OrderedJson& json, const std::string& where);

// Whose a message's texts are: the model's where its role is assistant, a user's else.
Origin origin_of(const OrderedJson& message);

}  // namespace tenth
