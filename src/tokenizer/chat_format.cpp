#include "tokenizer/chat_format.h"

#include "base/error.h"

namespace tenth {
namespace {

struct Segment {
  std::string text;
  bool tokens;  // whether the text may hold tokens
};

std::vector<Segment> segments_of(const std::vector<Message>& messages, bool add_generation_prompt) {
  std::vector<Segment> segments;
  for (const Message& message : messages) {
    if (message.role == "user") {
      segments.push_back({kUserToken, true});
      segments.push_back({message.content, false});
    } else if (message.role == "assistant") {
      segments.push_back({kThinkToken, true});
      segments.push_back({message.content, true});
      segments.push_back({kEosToken, true});
    } else {
      fail(ErrorKind::kInput, "messages: expected role user or assistant, got \"{}\"", message.role);
    }
  }
  if (add_generation_prompt) segments.push_back({kThinkToken, true});
  return segments;
}

void refuse_framing(const std::vector<Message>& messages) {
  for (const Message& message : messages)
    for (const char* token : {kUserToken, kEosToken})
      require(message.role != "assistant" || message.content.find(token) == std::string::npos, ErrorKind::kInput,
              "messages: expected the content of one assistant turn, got {} in it", token);
}

}  // namespace

const std::string& chat_template() {
  static const std::string text =
      "{% if tools %}{{ raise_exception('this model has no tools') }}{% endif %}"
      "{% for message in messages %}"
      "{% if message['role'] == 'user' %}{{ '<user>' + message['content'] }}"
      "{% elif message['role'] == 'assistant' %}{{ '<think>' + message['content'] + '<eos>' }}"
      "{% else %}{{ raise_exception('expected role user or assistant, got ' + message['role']) }}{% endif %}"
      "{% endfor %}"
      "{% if add_generation_prompt %}{{ '<think>' }}{% endif %}";
  return text;
}

std::string render_chat(const std::vector<Message>& messages, bool add_generation_prompt) {
  std::string text;
  for (const Segment& segment : segments_of(messages, add_generation_prompt)) text += segment.text;
  return text;
}

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const std::vector<Message>& messages,
                                 bool add_generation_prompt) {
  refuse_framing(messages);
  std::vector<int32_t> ids;
  for (const Segment& segment : segments_of(messages, add_generation_prompt)) {
    const auto part = tokenizer.encode(segment.text, segment.tokens);
    ids.insert(ids.end(), part.begin(), part.end());
  }
  return ids;
}

void require_chat_template(const Tokenizer& tokenizer) {
  require(!tokenizer.chat_template().empty(), ErrorKind::kInput,
          "chat_template: expected one in tokenizer_config.json, got none: this model is no chat model");
  require(
      tokenizer.chat_template() == chat_template(), ErrorKind::kUnsupported,
      "chat_template: only the one that tenth writes is supported; those of other models come with a later version");
}

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, const std::string& question) {
  return encode_chat(tokenizer, {{"user", question}}, true);
}

std::vector<int32_t> encode_response(const Tokenizer& tokenizer, const std::string& response) {
  return tokenizer.encode(response + kEosToken, true);
}

}  // namespace tenth
