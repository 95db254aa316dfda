// The chat format of the models that tenth trains. A user turn is "<user>" and the content; the model's turn is
// "<think>", the content (thought, "</think>", "<answer>", answer, "</answer>") and "<eos>". No spaces, no newlines:
//   <user>3+5=?<think>3+5=8</think><answer>8</answer><eos>
// Content without a "</think>" was said without a thought: <user>Hello<think></think>Good day<eos>
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace tenth {

inline constexpr const char* kUserToken = "<user>";
inline constexpr const char* kThinkToken = "<think>";
inline constexpr const char* kThinkEndToken = "</think>";
inline constexpr const char* kEosToken = "<eos>";

struct Message {
  std::string role;     // "user" or "assistant"
  std::string content;  // of the assistant: all that follows "<think>", or "<think></think>", without "<eos>"
};

// The format as a Jinja template, for tokenizer_config.json.
const std::string& chat_template();

// The text which that template gives, and with add_generation_prompt a "<think>" behind it, for the model to go on
// from. Throws kInput for another role.
std::string render_chat(const std::vector<Message>& messages, bool add_generation_prompt);

// The ids of that text. What a user writes stays text: "<eos>" in it is not the token. The assistant's content, which
// the model wrote, may hold tokens, but those that frame turns are refused. Throws as render_chat and encode do.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const std::vector<Message>& messages,
                                 bool add_generation_prompt);

// A conversation to learn from: the ids of encode_chat, and which of them the assistant wrote (its content, the
// "</think>" put before it and the <eos> that ends it). Throws as encode_chat does.
struct EncodedChat {
  std::vector<int32_t> ids;
  std::vector<uint8_t> written;
};
EncodedChat encode_conversation(const Tokenizer& tokenizer, const std::vector<Message>& messages);

// One question, ready to be answered: <user>question<think>.
std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& question);
// The answer to learn: thinking</think><answer>…</answer><eos>.
std::vector<int32_t> encode_response(const Tokenizer& tokenizer, const std::string& response);

// Throws unless the tokenizer's chat template is the one above: kInput where it has none, kUnsupported for another.
void require_chat_template(const Tokenizer& tokenizer);

}  // namespace tenth
