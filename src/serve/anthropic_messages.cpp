// POST /v1/messages and /v1/messages/count_tokens: Anthropic's form of a chat (reference/serving.md, section 5). The
// request is put into OpenAI's form and read as that.
#include "base/ordered_json.h"
#include "serve/chat_messages.h"
#include "serve/routes.h"
#include "serve/sampling_fields.h"
#include "serve/sse.h"

namespace tenth {
namespace {

// The text of a string or of a list of blocks of text.
std::string text_of_blocks(const OrderedJson& content, const std::string& name) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    throw invalid_field(name, fmt::format("expected a string or a list of blocks, got {}", kind_of(content)));
  std::string text;
  for (size_t i = 0; i < content.size(); i++) {
    const Fields block(content[i], fmt::format("{}[{}]", name, i));
    block.one_of("type", "", {"text"});
    text += (i > 0 ? "\n" : "") + block.required_text("text");
  }
  return text;
}

// One message of Anthropic's is one or, with results of tools, several of OpenAI's.
void convert_message(const OrderedJson& message, const std::string& here, OrderedJson& out) {
  const Fields fields(message, here);
  fields.required_text("role");
  const std::string role = fields.one_of("role", "", {"user", "assistant"});
  const OrderedJson* content = fields.find("content");
  if (!content) throw invalid_field(here + ".content", "expected a string or a list of blocks, got none");
  if (content->is_string()) {
    out.push_back({{"role", role}, {"content", *content}});
    return;
  }
  if (!content->is_array())
    throw invalid_field(here + ".content",
                        fmt::format("expected a string or a list of blocks, got {}", kind_of(*content)));
  OrderedJson calls = OrderedJson::array();
  std::string text, thinking;
  for (size_t i = 0; i < content->size(); i++) {
    const std::string place = fmt::format("{}.content[{}]", here, i);
    const Fields block((*content)[i], place);
    block.required_text("type");
    const std::string type =
        block.one_of("type", "", {"text", "tool_use", "tool_result", "thinking", "redacted_thinking"});
    if (type == "text") {
      text += (text.empty() ? "" : "\n") + block.required_text("text");
    } else if (type == "thinking") {
      thinking += block.required_text("thinking");
    } else if (type == "tool_use") {
      const OrderedJson* input = block.find("input");
      calls.push_back(
          {{"id", block.required_text("id")},
           {"type", "function"},
           {"function", {{"name", block.required_text("name")}, {"arguments", input ? text_of(*input) : "{}"}}}});
    } else if (type == "tool_result") {
      const OrderedJson* result = block.find("content");
      out.push_back({{"role", "tool"},
                     {"tool_call_id", block.required_text("tool_use_id")},
                     {"content", result ? text_of_blocks(*result, place + ".content") : ""}});
    }
  }
  if (text.empty() && calls.empty() && thinking.empty()) return;
  OrderedJson y = {{"role", role}, {"content", text}};
  if (!thinking.empty() && role == "assistant") y["reasoning_content"] = thinking;
  if (!calls.empty()) y["tool_calls"] = calls;
  out.push_back(std::move(y));
}

OrderedJson convert_tools(const OrderedJson& tools) {
  OrderedJson y = OrderedJson::array();
  for (size_t i = 0; i < tools.size(); i++) {
    const Fields tool(tools[i], fmt::format("tools[{}]", i));
    OrderedJson function = {{"name", tool.required_text("name")}, {"description", tool.text("description", "")}};
    if (const OrderedJson* schema = tool.find("input_schema")) function["parameters"] = *schema;
    y.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return y;
}

// The body in OpenAI's form: messages, tools, tool_choice, thinking.
OrderedJson convert(const Fields& fields) {
  OrderedJson y = OrderedJson::object();
  y["messages"] = OrderedJson::array();
  if (const OrderedJson* system = fields.find("system"))
    y["messages"].push_back({{"role", "system"}, {"content", text_of_blocks(*system, "system")}});
  const OrderedJson& messages = fields.required_list("messages");
  for (size_t i = 0; i < messages.size(); i++)
    convert_message(messages[i], fmt::format("messages[{}]", i), y["messages"]);
  if (const OrderedJson* tools = fields.list("tools")) y["tools"] = convert_tools(*tools);
  if (const auto choice = fields.object("tool_choice")) {
    choice->required_text("type");
    const std::string type = choice->one_of("type", "", {"auto", "any", "tool", "none"});
    if (type == "tool")
      y["tool_choice"] = {{"type", "function"}, {"function", {{"name", choice->required_text("name")}}}};
    else
      y["tool_choice"] = type == "any" ? "required" : type;
    y["parallel_tool_calls"] = !choice->flag("disable_parallel_tool_use", false);
  }
  if (const OrderedJson* thinking = fields.find("thinking")) y["thinking"] = *thinking;
  return y;
}

class MessageWriter : public ReplyWriter {
 public:
  MessageWriter(const Service& service, bool stream, int64_t prompt_tokens)
      : service_(service), stream_(stream), prompt_tokens_(prompt_tokens), id_(new_id("msg_")) {}

  void begin(HttpExchange& exchange) override {
    if (!stream_) return;
    begin_events(exchange);
    OrderedJson message = head();
    message["usage"] = {{"input_tokens", prompt_tokens_}, {"output_tokens", 0}};
    send_event(exchange, "message_start", {{"type", "message_start"}, {"message", std::move(message)}});
  }

  void part(HttpExchange& exchange, size_t, const ReplyPart& part, const std::vector<TokenReport>&) override {
    switch (part.kind) {
      case ReplyPart::Kind::kReasoning:
        open(exchange, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
        add("thinking", part.text);
        delta(exchange, {{"type", "thinking_delta"}, {"thinking", part.text}});
        break;
      case ReplyPart::Kind::kContent:
        open(exchange, {{"type", "text"}, {"text", ""}});
        add("text", part.text);
        delta(exchange, {{"type", "text_delta"}, {"text", part.text}});
        break;
      case ReplyPart::Kind::kToolCall: {
        close(exchange);
        open(exchange,
             {{"type", "tool_use"}, {"id", new_id("toolu_")}, {"name", part.name}, {"input", OrderedJson::object()}});
        delta(exchange, {{"type", "input_json_delta"}, {"partial_json", part.text}});
        blocks_.back()["input"] = parse_ordered_json(part.text, "input");
        close(exchange);
        break;
      }
    }
  }

  void finish(HttpExchange& exchange, size_t, Finish finish, const std::string& stop,
              const std::vector<TokenReport>&) override {
    close(exchange);
    reason_ = finish == Finish::kLength      ? "max_tokens"
              : finish == Finish::kToolCalls ? "tool_use"
              : stop.empty()                 ? "end_turn"
                                             : "stop_sequence";
    if (!stop.empty()) stop_ = stop;
  }

  void done(HttpExchange& exchange, const Usage& usage) override {
    const OrderedJson counts = {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
                                {"cache_read_input_tokens", usage.cached_tokens},
                                {"cache_creation_input_tokens", 0},
                                {"output_tokens", usage.completion_tokens}};
    if (stream_) {
      send_event(exchange, "message_delta",
                 {{"type", "message_delta"},
                  {"delta", {{"stop_reason", reason_}, {"stop_sequence", stop_}}},
                  {"usage", counts}});
      send_event(exchange, "message_stop", {{"type", "message_stop"}});
      return exchange.end();
    }
    OrderedJson message = head();
    message["content"] = blocks_;
    message["stop_reason"] = reason_;
    message["stop_sequence"] = stop_;
    message["usage"] = counts;
    reply_json(exchange, 200, message);
  }

  void fail(HttpExchange& exchange, const ApiError& error) override {
    if (!stream_) return reply_json(exchange, error.status(), error.anthropic());
    send_event(exchange, "error", error.anthropic());
    exchange.end();
  }
  void keep_alive(HttpExchange& exchange) override {
    if (stream_) send_event(exchange, "ping", {{"type", "ping"}});
  }

 private:
  OrderedJson head() const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", service_.model().name},
            {"content", OrderedJson::array()},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }
  // Begins a block, unless one of its kind is open.
  void open(HttpExchange& exchange, OrderedJson block) {
    if (open_ && blocks_.back()["type"] == block["type"]) return;
    close(exchange);
    if (stream_)
      send_event(exchange, "content_block_start",
                 {{"type", "content_block_start"}, {"index", blocks_.size()}, {"content_block", block}});
    blocks_.push_back(std::move(block));
    open_ = true;
  }
  void add(const char* key, const std::string& text) {
    if (!stream_) blocks_.back()[key] = blocks_.back()[key].get<std::string>() + text;
  }
  void delta(HttpExchange& exchange, OrderedJson what) {
    if (stream_)
      send_event(exchange, "content_block_delta",
                 {{"type", "content_block_delta"}, {"index", blocks_.size() - 1}, {"delta", std::move(what)}});
  }
  void close(HttpExchange& exchange) {
    if (open_ && stream_)
      send_event(exchange, "content_block_stop", {{"type", "content_block_stop"}, {"index", blocks_.size() - 1}});
    open_ = false;
  }

  const Service& service_;
  const bool stream_;
  const int64_t prompt_tokens_;
  const std::string id_;
  OrderedJson blocks_ = OrderedJson::array(), stop_;
  const char* reason_ = "end_turn";
  bool open_ = false;
};

}  // namespace

void messages(const Call& call) {
  const Service& service = call.service;
  service.admit();
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  check_model(fields, service);
  if (!fields.has("max_tokens")) throw invalid_field("max_tokens", "expected an integer, got none");
  fields.integer("max_tokens", 1, 1, INT32_MAX);
  SamplingFields sampling = read_sampling(fields, service, {"max_tokens"}, "stop_sequences");
  if (sampling.choices != 1) throw invalid_field("n", "expected 1");
  const bool stream = fields.flag("stream", false);
  const OrderedJson converted = convert(fields);
  const ReplyParser::Options reply = prepare_chat(Fields(converted), fields, sampling, service, "messages");
  const int64_t prompt_tokens = int64_t(sampling.request.prompt.size());
  start(call, std::make_unique<MessageWriter>(service, stream, prompt_tokens), {std::move(sampling.request)}, reply,
        prompt_tokens);
}

void count_tokens(const Call& call) {
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  check_model(fields, call.service);
  const OrderedJson converted = convert(fields);
  const ChatPrompt prompt = render_chat(read_chat(Fields(converted), call.service), call.service);
  reply_json(*call.exchange, 200, {{"input_tokens", prompt.ids.size()}});
}

}  // namespace tenth
