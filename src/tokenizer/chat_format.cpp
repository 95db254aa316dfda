#include "tokenizer/chat_format.h"

#include "base/error.h"

namespace tenth {
namespace {

struct Segment {
  std::string text;
  bool tokens;           // whether the text may hold tokens
  bool written = false;  // by the assistant
};

std::vector<Segment> segments_of(const std::vector<Message>& messages, bool add_generation_prompt) {
  std::vector<Segment> segments;
  for (const Message& message : messages) {
    if (message.role == "user") {
      segments.push_back({kUserToken, true});
      segments.push_back({message.content, false});
    } else if (message.role == "assistant") {
      segments.push_back({kThinkToken, true});
      if (message.content.find(kThinkEndToken) == std::string::npos) segments.push_back({kThinkEndToken, true, true});
      segments.push_back({message.content, true, true});
      segments.push_back({kEosToken, true, true});
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

EncodedChat encode_segments(const Tokenizer& tokenizer, const std::vector<Message>& messages,
                            bool add_generation_prompt) {
  refuse_framing(messages);
  EncodedChat chat;
  for (const Segment& segment : segments_of(messages, add_generation_prompt)) {
    const auto part = tokenizer.encode(segment.text, segment.tokens);
    chat.ids.insert(chat.ids.end(), part.begin(), part.end());
    chat.written.insert(chat.written.end(), part.size(), segment.written);
  }
  return chat;
}

}  // namespace

const std::string& chat_template() {
  static const std::string text =
      "{% if tools %}{{ raise_exception('this model has no tools') }}{% endif %}"
      "{% for message in messages %}"
      "{% if message['role'] == 'user' %}{{ '<user>' + message['content'] }}"
      "{% elif message['role'] == 'assistant' %}"
      // Token by token: what a template writes are tokens, what it was given is text.
      "{% set said = message['content'] %}"
      "{% set parts = (said if '</think>' in said else '</think>' + said).split('</think>') %}"
      "{{ '<think>' + parts[0] }}{% for part in parts[1:] %}{{ '</think>' + part }}{% endfor %}{{ '<eos>' }}"
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
  return encode_segments(tokenizer, messages, add_generation_prompt).ids;
}

EncodedChat encode_conversation(const Tokenizer& tokenizer, const std::vector<Message>& messages) {
  return encode_segments(tokenizer, messages, false);
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
