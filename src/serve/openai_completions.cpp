// POST /v1/completions: text or ids in, text out; echo and log-probabilities as evaluation harnesses need them.
#include <ctime>

#include "base/error.h"
#include "base/utf8.h"
#include "serve/routes.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"

namespace tenth {
namespace {

struct PromptText {
  std::vector<int32_t> ids;
  std::string text;  // for echo
};

class CompletionWriter : public ReplyWriter {
 public:
  struct Options {
    bool stream, with_usage, echo;
    int32_t logprobs;  // -1: none
  };
  CompletionWriter(const Service& service, const Options& options, std::vector<PromptText> prompts, size_t samples)
      : service_(service),
        options_(options),
        id_(new_id("cmpl-")),
        created_(int64_t(std::time(nullptr))),
        prompts_(std::move(prompts)),
        samples_(samples),
        choices_(prompts_.size() * samples) {}

  void begin(HttpExchange& exchange) override {
    if (options_.stream) begin_events(exchange);
  }

  void started(HttpExchange& exchange, size_t number, const std::vector<TokenReport>& prompt) override {
    if (!options_.echo) return;
    add(exchange, number, prompts_[number / samples_].text, prompt, nullptr, true);
  }
  void part(HttpExchange& exchange, size_t number, const ReplyPart& part,
            const std::vector<TokenReport>& tokens) override {
    add(exchange, number, part.text, tokens, nullptr, false);
  }
  void finish(HttpExchange& exchange, size_t number, Finish finish, const std::string&,
              const std::vector<TokenReport>& tokens) override {
    add(exchange, number, "", tokens, finish == Finish::kLength ? "length" : "stop", false);
  }

  void done(HttpExchange& exchange, const Usage& usage) override {
    const OrderedJson counts = {{"prompt_tokens", usage.prompt_tokens},
                                {"completion_tokens", usage.completion_tokens},
                                {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                                {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
    OrderedJson reply = head();
    reply["choices"] = OrderedJson::array();
    if (options_.stream) {
      reply["usage"] = counts;
      if (options_.with_usage) send_event(exchange, reply);
      exchange.write("data: [DONE]\n\n");
      exchange.end();
      return;
    }
    for (size_t i = 0; i < choices_.size(); i++) {
      const Choice& choice = choices_[i];
      reply["choices"].push_back({{"text", choice.text},
                                  {"index", i},
                                  {"logprobs", options_.logprobs < 0 ? OrderedJson() : choice.logprobs},
                                  {"finish_reason", choice.finish}});
    }
    reply["usage"] = counts;
    reply_json(exchange, 200, reply);
  }

  void fail(HttpExchange& exchange, const ApiError& error) override {
    if (!options_.stream) return reply_json(exchange, error.status(), error.openai());
    send_event(exchange, error.openai());
    exchange.end();
  }
  void keep_alive(HttpExchange& exchange) override {
    if (options_.stream) exchange.write(": keep-alive\n\n");
  }

 private:
  struct Choice {
    std::string text;
    int64_t offset = 0;  // characters so far
    OrderedJson logprobs = empty_logprobs();
    const char* finish = nullptr;
  };

  static OrderedJson empty_logprobs() {
    return {{"tokens", OrderedJson::array()},
            {"token_logprobs", OrderedJson::array()},
            {"top_logprobs", OrderedJson::array()},
            {"text_offset", OrderedJson::array()}};
  }

  OrderedJson head() const {
    return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", service_.model().name}};
  }

  std::string text_of_token(int32_t id) const {
    std::string text;
    append_well_formed(service_.model().bytes_of(id), true, text);
    return text;
  }

  void add(HttpExchange& exchange, size_t number, const std::string& text, const std::vector<TokenReport>& tokens,
           const char* finish, bool prompt) {
    Choice& choice = choices_[number];
    OrderedJson streamed = empty_logprobs();
    OrderedJson& logprobs = options_.stream ? streamed : choice.logprobs;
    if (options_.logprobs >= 0)
      for (size_t i = 0; i < tokens.size(); i++) {
        const bool first = prompt && i == 0;  // nothing comes before it
        const std::string piece = text_of_token(tokens[i].id);
        logprobs["tokens"].push_back(piece);
        logprobs["token_logprobs"].push_back(first ? OrderedJson() : OrderedJson(tokens[i].logprob));
        OrderedJson top = OrderedJson::object();
        for (const TokenLogprob& other : tokens[i].top) top[text_of_token(other.id)] = other.logprob;
        logprobs["top_logprobs"].push_back(first ? OrderedJson() : std::move(top));
        logprobs["text_offset"].push_back(choice.offset);
        choice.offset += int64_t(piece.size());
      }
    if (finish) choice.finish = finish;
    if (!options_.stream) {
      choice.text += text;
      return;
    }
    if (text.empty() && tokens.empty() && !finish) return;
    OrderedJson chunk = head();
    chunk["choices"] = OrderedJson::array({{{"text", text},
                                            {"index", number},
                                            {"logprobs", options_.logprobs < 0 ? OrderedJson() : std::move(streamed)},
                                            {"finish_reason", finish ? OrderedJson(finish) : OrderedJson()}}});
    if (options_.with_usage) chunk["usage"] = nullptr;
    send_event(exchange, chunk);
  }

  const Service& service_;
  const Options options_;
  const std::string id_;
  const int64_t created_;
  std::vector<PromptText> prompts_;
  const size_t samples_;
  std::vector<Choice> choices_;
};

PromptText text_prompt(const std::string& text, const Service& service) {
  if (text.size() > size_t(service.context()) * 16)
    throw ApiError(400, "invalid_request_error", "prompt: longer than the model's context can be", "prompt",
                   "context_length_exceeded");
  const Tokenizer& tokenizer = service.model().tokenizer;
  PromptText y{tokenizer.with_template(tokenizer.encode(text, true)), text};
  if (y.ids.empty() && tokenizer.bos_id()) y.ids.push_back(*tokenizer.bos_id());
  if (y.ids.empty()) throw invalid_field("prompt", "expected at least one token, got none");
  return y;
}

PromptText id_prompt(const OrderedJson& list, const Service& service) {
  PromptText y;
  const int64_t vocabulary =
      std::min<int64_t>(service.model().tokenizer.vocab_size(), service.engine().engine().config().vocab_size);
  for (const OrderedJson& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= vocabulary)
      throw invalid_field("prompt", fmt::format("expected ids in 0 … {}, got {}", vocabulary - 1, id.dump()));
    y.ids.push_back(id.get<int32_t>());
  }
  if (y.ids.empty()) throw invalid_field("prompt", "expected at least one token, got none");
  y.text = service.model().tokenizer.decode(y.ids, false);
  return y;
}

// A text, a list of texts, a list of ids, or a list of lists of ids.
std::vector<PromptText> read_prompts(const Fields& fields, const Service& service) {
  const OrderedJson* prompt = fields.find("prompt");
  if (!prompt) throw invalid_field("prompt", "expected a string or a list, got none");
  if (prompt->is_string()) return {text_prompt(prompt->get<std::string>(), service)};
  if (!prompt->is_array() || prompt->empty())
    throw invalid_field("prompt",
                        fmt::format("expected a string or a list that is not empty, got {}", kind_of(*prompt)));
  if (prompt->front().is_number()) return {id_prompt(*prompt, service)};
  if (int64_t(prompt->size()) > service.limits().queued)
    throw invalid_field("prompt", fmt::format("expected at most {} prompts", service.limits().queued));
  std::vector<PromptText> y;
  for (const OrderedJson& item : *prompt) {
    if (!item.is_string() && !item.is_array())
      throw invalid_field("prompt", fmt::format("expected strings or lists of ids, got {}", kind_of(item)));
    y.push_back(item.is_string() ? text_prompt(item.get<std::string>(), service) : id_prompt(item, service));
  }
  return y;
}

}  // namespace

void completions(const Call& call) {
  const Service& service = call.service;
  service.admit();
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  check_model(fields, service);
  if (fields.has("suffix"))
    throw ApiError(400, "invalid_request_error", "suffix: not supported", "suffix", "unsupported_parameter");
  SamplingFields sampling = read_sampling(fields, service, {"max_tokens"});
  if (!sampling.has_limit) {
    sampling.request.max_new_tokens = 16;  // OpenAI's
    sampling.has_limit = true;
  }
  sampling.request.grammar = read_format(fields, service.grammars());
  CompletionWriter::Options options;
  options.stream = fields.flag("stream", false);
  const auto stream_options = fields.object("stream_options");
  options.with_usage = options.stream && stream_options && stream_options->flag("include_usage", false);
  options.echo = fields.flag("echo", false);
  options.logprobs = int32_t(fields.integer("logprobs", -1, 0, service.limits().top_logprobs));
  fields.integer("best_of", 1, 1, sampling.choices);
  if (sampling.request.max_new_tokens < 1 && !options.echo)
    throw invalid_field("max_tokens", "expected at least 1 without echo, got 0");
  std::vector<PromptText> prompts = read_prompts(fields, service);
  std::vector<EngineRequest> requests;
  int64_t prompt_tokens = 0;
  for (const PromptText& prompt : prompts) {
    fit_context(sampling, int64_t(prompt.ids.size()), service, "prompt");
    prompt_tokens += int64_t(prompt.ids.size());
    for (int64_t sample = 0; sample < sampling.choices; sample++) {
      EngineRequest& request = requests.emplace_back(sampling.request);
      request.prompt = prompt.ids;
      request.sample = uint64_t(sample);
      request.top_logprobs = options.logprobs;
      request.prompt_logprobs = options.echo && options.logprobs >= 0;
    }
  }
  ReplyParser::Options reply;
  reply.split_reasoning = false;
  reply.stops = sampling.stops;
  auto writer = std::make_unique<CompletionWriter>(service, options, std::move(prompts), size_t(sampling.choices));
  start(call, std::move(writer), std::move(requests), reply, prompt_tokens);
}

}  // namespace tenth
