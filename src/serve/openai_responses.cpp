// POST /v1/responses (reference/serving.md, section 6). The request is put into the form of a chat and read as that;
// nothing is stored.
#include <ctime>

#include "serve/chat_messages.h"
#include "serve/routes.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"

namespace tenth {
namespace {

std::string text_of_parts(const OrderedJson& content, const std::string& name) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    throw invalid_field(name, fmt::format("expected a string or a list of parts, got {}", kind_of(content)));
  std::string text;
  for (size_t i = 0; i < content.size(); i++) {
    const Fields part(content[i], fmt::format("{}[{}]", name, i));
    part.required_text("type");
    part.one_of("type", "", {"input_text", "output_text", "text", "reasoning_text", "summary_text"});
    text += (i > 0 ? "\n" : "") + part.required_text("text");
  }
  return text;
}

void convert_item(const OrderedJson& item, const std::string& here, OrderedJson& out) {
  const Fields fields(item, here);
  const std::string type =
      fields.one_of("type", "message", {"message", "function_call", "function_call_output", "reasoning"});
  if (type == "message") {
    const OrderedJson* content = fields.find("content");
    if (!content) throw invalid_field(here + ".content", "expected a string or a list of parts, got none");
    out.push_back({{"role", fields.required_text("role")}, {"content", text_of_parts(*content, here + ".content")}});
  } else if (type == "function_call") {
    out.push_back({{"role", "assistant"},
                   {"content", ""},
                   {"tool_calls", OrderedJson::array({{{"id", fields.required_text("call_id")},
                                                       {"type", "function"},
                                                       {"function",
                                                        {{"name", fields.required_text("name")},
                                                         {"arguments", fields.required_text("arguments")}}}}})}});
  } else if (type == "function_call_output") {
    const OrderedJson* output = fields.find("output");
    out.push_back({{"role", "tool"},
                   {"tool_call_id", fields.required_text("call_id")},
                   {"content", output ? text_of_parts(*output, here + ".output") : ""}});
  }
}

OrderedJson convert(const Fields& fields) {
  OrderedJson y = OrderedJson::object();
  OrderedJson& messages = y["messages"] = OrderedJson::array();
  if (fields.has("instructions"))
    messages.push_back({{"role", "system"}, {"content", fields.required_text("instructions")}});
  const OrderedJson* input = fields.find("input");
  if (!input) throw invalid_field("input", "expected a string or a list, got none");
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
  } else {
    const OrderedJson& items = *fields.list("input");
    for (size_t i = 0; i < items.size(); i++) convert_item(items[i], fmt::format("input[{}]", i), messages);
  }
  if (const OrderedJson* tools = fields.list("tools")) {
    y["tools"] = OrderedJson::array();
    for (size_t i = 0; i < tools->size(); i++) {
      const Fields tool((*tools)[i], fmt::format("tools[{}]", i));
      tool.required_text("type");
      tool.one_of("type", "", {"function"});
      OrderedJson function = (*tools)[i];
      function.erase("type");
      y["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
    }
  }
  if (const OrderedJson* choice = fields.find("tool_choice")) {
    y["tool_choice"] = *choice;
    if (choice->is_object() && choice->contains("name"))
      y["tool_choice"] = {{"type", "function"}, {"function", {{"name", (*choice)["name"]}}}};
  }
  if (fields.has("parallel_tool_calls")) y["parallel_tool_calls"] = *fields.find("parallel_tool_calls");
  if (const auto reasoning = fields.object("reasoning"))
    if (const OrderedJson* effort = reasoning->find("effort")) y["reasoning_effort"] = *effort;
  return y;
}

class ResponseWriter : public ReplyWriter {
 public:
  ResponseWriter(const Service& service, bool stream)
      : service_(service), stream_(stream), id_(new_id("resp_")), created_(int64_t(std::time(nullptr))) {}

  void begin(HttpExchange& exchange) override {
    if (!stream_) return;
    begin_events(exchange);
    send(exchange, "response.created", {{"response", response("in_progress")}});
    send(exchange, "response.in_progress", {{"response", response("in_progress")}});
  }

  void part(HttpExchange& exchange, size_t, const ReplyPart& part, const std::vector<TokenReport>&) override {
    switch (part.kind) {
      case ReplyPart::Kind::kReasoning:
        open(exchange, "reasoning");
        text_ += part.text;
        send(exchange, "response.reasoning_text.delta", at_part({{"delta", part.text}}));
        break;
      case ReplyPart::Kind::kContent:
        open(exchange, "message");
        text_ += part.text;
        send(exchange, "response.output_text.delta",
             at_part({{"delta", part.text}, {"logprobs", OrderedJson::array()}}));
        break;
      case ReplyPart::Kind::kToolCall:
        close(exchange);
        call(exchange, part);
        break;
    }
  }

  void finish(HttpExchange& exchange, size_t, Finish finish, const std::string&,
              const std::vector<TokenReport>&) override {
    close(exchange);
    cut_ = finish == Finish::kLength;
  }

  void done(HttpExchange& exchange, const Usage& usage) override {
    OrderedJson reply = response(cut_ ? "incomplete" : "completed");
    reply["usage"] = {{"input_tokens", usage.prompt_tokens},
                      {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
                      {"output_tokens", usage.completion_tokens},
                      {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
                      {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
    if (!stream_) return reply_json(exchange, 200, reply);
    send(exchange, cut_ ? "response.incomplete" : "response.completed", {{"response", std::move(reply)}});
    exchange.end();
  }

  void fail(HttpExchange& exchange, const ApiError& error) override {
    if (!stream_) return reply_json(exchange, error.status(), error.openai());
    OrderedJson reply = response("failed");
    reply["error"] = {{"code", "server_error"}, {"message", error.what()}};
    send(exchange, "response.failed", {{"response", std::move(reply)}});
    exchange.end();
  }
  void keep_alive(HttpExchange& exchange) override {
    if (stream_) exchange.write(": keep-alive\n\n");
  }

 private:
  OrderedJson response(const char* status) const {
    return {{"id", id_},
            {"object", "response"},
            {"created_at", created_},
            {"status", status},
            {"error", nullptr},
            {"incomplete_details", cut_ ? OrderedJson{{"reason", "max_output_tokens"}} : OrderedJson()},
            {"model", service_.model().name},
            {"output", output_},
            {"parallel_tool_calls", true},
            {"tool_choice", "auto"},
            {"tools", OrderedJson::array()},
            {"store", false},
            {"metadata", OrderedJson::object()}};
  }

  void send(HttpExchange& exchange, const char* type, OrderedJson fields) {
    if (!stream_) return;
    OrderedJson event = {{"type", type}, {"sequence_number", sequence_++}};
    event.update(fields);
    send_event(exchange, type, event);
  }
  OrderedJson at_item(OrderedJson fields) const {
    OrderedJson y = {{"item_id", item_}, {"output_index", output_.size()}};
    y.update(fields);
    return y;
  }
  OrderedJson at_part(OrderedJson fields) const {
    OrderedJson y = at_item({{"content_index", 0}});
    y.update(fields);
    return y;
  }

  OrderedJson text_part() const {
    return reasons() ? OrderedJson{{"type", "reasoning_text"}, {"text", text_}}
                     : OrderedJson{{"type", "output_text"}, {"text", text_}, {"annotations", OrderedJson::array()}};
  }
  OrderedJson item(const char* status, bool whole) const {
    OrderedJson content = OrderedJson::array();
    if (whole) content.push_back(text_part());
    if (reasons())
      return {{"id", item_}, {"type", "reasoning"}, {"summary", OrderedJson::array()}, {"content", content}};
    return {{"id", item_}, {"type", "message"}, {"status", status}, {"role", "assistant"}, {"content", content}};
  }
  bool reasons() const { return open_ == "reasoning"; }

  void open(HttpExchange& exchange, const std::string& kind) {
    if (open_ == kind) return;
    close(exchange);
    open_ = kind;
    text_.clear();
    item_ = new_id(reasons() ? "rs_" : "msg_");
    send(exchange, "response.output_item.added",
         {{"output_index", output_.size()}, {"item", item("in_progress", false)}});
    send(exchange, "response.content_part.added", at_part({{"part", text_part()}}));
  }
  void close(HttpExchange& exchange) {
    if (open_.empty()) return;
    if (reasons())
      send(exchange, "response.reasoning_text.done", at_part({{"text", text_}}));
    else
      send(exchange, "response.output_text.done", at_part({{"text", text_}, {"logprobs", OrderedJson::array()}}));
    send(exchange, "response.content_part.done", at_part({{"part", text_part()}}));
    const OrderedJson whole = item("completed", true);
    send(exchange, "response.output_item.done", {{"output_index", output_.size()}, {"item", whole}});
    output_.push_back(whole);
    open_.clear();
  }

  void call(HttpExchange& exchange, const ReplyPart& part) {
    item_ = new_id("fc_");
    OrderedJson item = {{"id", item_},     {"type", "function_call"},    {"status", "in_progress"},
                        {"arguments", ""}, {"call_id", new_id("call_")}, {"name", part.name}};
    send(exchange, "response.output_item.added", {{"output_index", output_.size()}, {"item", item}});
    send(exchange, "response.function_call_arguments.delta", at_item({{"delta", part.text}}));
    send(exchange, "response.function_call_arguments.done", at_item({{"arguments", part.text}, {"name", part.name}}));
    item["status"] = "completed";
    item["arguments"] = part.text;
    send(exchange, "response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
    output_.push_back(std::move(item));
  }

  const Service& service_;
  const bool stream_;
  const std::string id_;
  const int64_t created_;
  OrderedJson output_ = OrderedJson::array();
  std::string open_, item_, text_;  // the item that is being written: its kind ("": none), id and text so far
  bool cut_ = false;
  int64_t sequence_ = 0;
};

}  // namespace

void responses(const Call& call) {
  const Service& service = call.service;
  service.admit();
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  check_model(fields, service);
  if (fields.has("previous_response_id"))
    throw ApiError(400, "invalid_request_error", "previous_response_id: responses are not stored here: send the items",
                   "previous_response_id", "unsupported_parameter");
  fields.integer("max_output_tokens", 1, 1, INT32_MAX);
  SamplingFields sampling = read_sampling(fields, service, {"max_output_tokens"});
  if (sampling.choices != 1) throw invalid_field("n", "expected 1");
  const bool stream = fields.flag("stream", false);
  const OrderedJson converted = convert(fields);
  sampling.request.grammar = read_text_format(fields, service.grammars());
  const ReplyParser::Options reply = prepare_chat(Fields(converted), fields, sampling, service, "input");
  const int64_t prompt_tokens = int64_t(sampling.request.prompt.size());
  start(call, std::make_unique<ResponseWriter>(service, stream), {std::move(sampling.request)}, reply, prompt_tokens);
}

}  // namespace tenth
