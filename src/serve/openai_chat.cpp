// POST /v1/chat/completions (reference/serving.md, sections 2 and 3).
#include <ctime>

#include "base/utf8.h"
#include "serve/chat_messages.h"
#include "serve/routes.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"

namespace tenth {
namespace {

const char* name_of(Finish finish) {
  return finish == Finish::kLength ? "length" : finish == Finish::kToolCalls ? "tool_calls" : "stop";
}

OrderedJson usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

class ChatWriter : public ReplyWriter {
 public:
  ChatWriter(const Service& service, size_t choices, bool stream, bool with_usage, bool with_logprobs)
      : service_(service),
        stream_(stream),
        with_usage_(with_usage),
        with_logprobs_(with_logprobs),
        id_(new_id("chatcmpl-")),
        created_(int64_t(std::time(nullptr))),
        choices_(choices) {}

  void begin(HttpExchange& exchange) override {
    if (!stream_) return;
    begin_events(exchange);
    for (size_t i = 0; i < choices_.size(); i++) send(exchange, i, {{"role", "assistant"}, {"content", ""}}, {});
  }

  void part(HttpExchange& exchange, size_t number, const ReplyPart& part,
            const std::vector<TokenReport>& tokens) override {
    Choice& choice = choices_[number];
    OrderedJson delta;
    switch (part.kind) {
      case ReplyPart::Kind::kReasoning:
        if (!stream_) choice.reasoning += part.text;
        // Some clients break where content is absent.
        delta = {{"content", ""}, {"reasoning_content", part.text}};
        break;
      case ReplyPart::Kind::kContent:
        if (!stream_) choice.content += part.text;
        delta = {{"content", part.text}};
        break;
      case ReplyPart::Kind::kToolCall: {
        OrderedJson call = {{"id", new_id("call_")},
                            {"type", "function"},
                            {"function", {{"name", part.name}, {"arguments", part.text}}}};
        if (stream_) {
          // As clients expect it: the name first, then the arguments.
          OrderedJson head = {{"index", choice.calls.size()}};
          head.update(call);
          head["function"]["arguments"] = "";
          send(exchange, number, {{"tool_calls", OrderedJson::array({head})}}, {});
          delta = {{"tool_calls",
                    OrderedJson::array({{{"index", choice.calls.size()}, {"function", {{"arguments", part.text}}}}})}};
        }
        choice.calls.push_back(std::move(call));
        break;
      }
    }
    const bool content = part.kind == ReplyPart::Kind::kContent;
    if (stream_)
      send(exchange, number, delta, content ? tokens : std::vector<TokenReport>());
    else if (content)
      choice.tokens.insert(choice.tokens.end(), tokens.begin(), tokens.end());
  }

  void finish(HttpExchange& exchange, size_t number, Finish finish, const std::string&,
              const std::vector<TokenReport>&) override {
    choices_[number].finish = name_of(finish);
    if (stream_) send(exchange, number, OrderedJson::object(), {}, name_of(finish));
  }

  void done(HttpExchange& exchange, const Usage& usage) override {
    if (stream_) {
      if (with_usage_) {
        OrderedJson chunk = head("chat.completion.chunk");
        chunk["choices"] = OrderedJson::array();
        chunk["usage"] = usage_json(usage);
        send_event(exchange, chunk);
      }
      exchange.write("data: [DONE]\n\n");
      exchange.end();
      return;
    }
    OrderedJson reply = head("chat.completion");
    reply["choices"] = OrderedJson::array();
    for (size_t i = 0; i < choices_.size(); i++) {
      const Choice& choice = choices_[i];
      OrderedJson message = {
          {"role", "assistant"},
          {"content", choice.content.empty() && !choice.calls.empty() ? OrderedJson() : OrderedJson(choice.content)},
          {"refusal", nullptr}};
      if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
      if (!choice.calls.empty()) message["tool_calls"] = choice.calls;
      reply["choices"].push_back({{"index", i},
                                  {"message", std::move(message)},
                                  {"logprobs", logprobs(choice.tokens)},
                                  {"finish_reason", choice.finish}});
    }
    reply["usage"] = usage_json(usage);
    reply_json(exchange, 200, reply);
  }

  void fail(HttpExchange& exchange, const ApiError& error) override {
    if (!stream_) return reply_json(exchange, error.status(), error.openai());
    send_event(exchange, error.openai());
    exchange.end();
  }

  void keep_alive(HttpExchange& exchange) override {
    if (stream_) exchange.write(": keep-alive\n\n");
  }

 private:
  struct Choice {
    std::string content, reasoning;
    OrderedJson calls = OrderedJson::array();
    std::vector<TokenReport> tokens;
    const char* finish = "stop";
  };

  OrderedJson head(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", service_.model().name},
            {"system_fingerprint", nullptr}};
  }

  void send(HttpExchange& exchange, size_t number, OrderedJson delta, const std::vector<TokenReport>& tokens,
            const char* finish = nullptr) const {
    OrderedJson chunk = head("chat.completion.chunk");
    chunk["choices"] = OrderedJson::array({{{"index", number},
                                            {"delta", std::move(delta)},
                                            {"logprobs", logprobs(tokens)},
                                            {"finish_reason", finish ? OrderedJson(finish) : OrderedJson()}}});
    if (with_usage_) chunk["usage"] = nullptr;
    send_event(exchange, chunk);
  }

  OrderedJson token_json(int32_t id, float logprob) const {
    const std::string& bytes = service_.model().bytes_of(id);
    std::string text;
    append_well_formed(bytes, true, text);
    OrderedJson list = OrderedJson::array();
    for (unsigned char byte : bytes) list.push_back(byte);
    return {{"token", text}, {"logprob", logprob}, {"bytes", std::move(list)}};
  }

  OrderedJson logprobs(const std::vector<TokenReport>& tokens) const {
    if (!with_logprobs_ || tokens.empty()) return nullptr;
    OrderedJson content = OrderedJson::array();
    for (const TokenReport& token : tokens) {
      OrderedJson entry = token_json(token.id, token.logprob);
      entry["top_logprobs"] = OrderedJson::array();
      for (const TokenLogprob& top : token.top) entry["top_logprobs"].push_back(token_json(top.id, top.logprob));
      content.push_back(std::move(entry));
    }
    return {{"content", std::move(content)}};
  }

  const Service& service_;
  const bool stream_, with_usage_, with_logprobs_;
  const std::string id_;
  const int64_t created_;
  std::vector<Choice> choices_;
};

}  // namespace

void chat_completions(const Call& call) {
  const Service& service = call.service;
  service.admit();
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  check_model(fields, service);
  SamplingFields sampling = read_sampling(fields, service, {"max_completion_tokens", "max_tokens"});
  const bool stream = fields.flag("stream", false), with_logprobs = fields.flag("logprobs", false);
  const auto options = fields.object("stream_options");
  const bool with_usage = stream && options && options->flag("include_usage", false);
  const int64_t top = fields.integer("top_logprobs", 0, 0, service.limits().top_logprobs);
  if (top > 0 && !with_logprobs) throw invalid_field("top_logprobs", "expected logprobs to be true with it");
  if (sampling.has_limit && sampling.request.max_new_tokens < 1)
    throw invalid_field("max_completion_tokens", "expected at least 1, got 0");
  sampling.request.top_logprobs = with_logprobs ? int32_t(top) : -1;
  sampling.request.grammar = read_format(fields, service.grammars());
  const ReplyParser::Options reply = prepare_chat(fields, fields, sampling, service, "messages");
  const int64_t prompt_tokens = int64_t(sampling.request.prompt.size());
  std::vector<EngineRequest> requests(size_t(sampling.choices), sampling.request);
  for (size_t i = 0; i < requests.size(); i++) requests[i].sample = i;
  auto writer = std::make_unique<ChatWriter>(service, requests.size(), stream, with_usage, with_logprobs);
  start(call, std::move(writer), std::move(requests), reply, prompt_tokens);
}

}  // namespace tenth
