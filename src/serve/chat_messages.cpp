#include "serve/chat_messages.h"

#include <algorithm>

#include "base/error.h"
#include "base/ordered_json.h"

namespace tenth {
namespace {

// Text, from a string or a list of text parts.
OrderedJson content_of(const OrderedJson& content, const std::string& name) {
  if (content.is_string() || content.is_null()) return content.is_null() ? OrderedJson("") : content;
  if (!content.is_array())
    throw invalid_field(name, fmt::format("expected a string or a list of parts, got {}", kind_of(content)));
  std::string text;
  for (size_t i = 0; i < content.size(); i++) {
    const std::string here = fmt::format("{}[{}]", name, i);
    const Fields part(content[i], here);
    const std::string type = part.required_text("type");
    if (type != "text") throw invalid_field(here + ".type", fmt::format("expected text, got \"{}\"", type));
    if (i > 0) text += '\n';
    text += part.required_text("text");
  }
  return text;
}

// Templates of the Hermes kind write arguments by themselves and want them as an object.
void read_calls(OrderedJson& message, const std::string& name, ToolFormat format) {
  const Fields fields(message, name);
  const OrderedJson* calls = fields.list("tool_calls");
  if (!calls) return;
  OrderedJson y = OrderedJson::array();
  for (size_t i = 0; i < calls->size(); i++) {
    const std::string here = fmt::format("{}.tool_calls[{}]", name, i);
    const Fields call((*calls)[i], here);
    const auto function = call.object("function");
    if (!function) throw invalid_field(here + ".function", "expected an object, got none");
    function->required_text("name");
    OrderedJson copy = (*calls)[i];
    OrderedJson& arguments = copy["function"]["arguments"];
    if (arguments.is_null()) arguments = "{}";
    if (arguments.is_string() && format == ToolFormat::kHermes) {
      try {
        arguments = parse_ordered_json(arguments.get<std::string>(), here + ".function.arguments");
      } catch (const Error& e) {
        throw ApiError(400, "invalid_request_error", e.what(), here + ".function.arguments", "invalid_value");
      }
    }
    y.push_back(std::move(copy));
  }
  message["tool_calls"] = std::move(y);
}

OrderedJson read_messages(const Fields& fields, const Service& service) {
  const OrderedJson& list = fields.required_list("messages");
  if (list.empty()) throw invalid_field("messages", "expected at least one message, got none");
  if (int64_t(list.size()) > service.limits().messages)
    throw invalid_field("messages",
                        fmt::format("expected at most {} messages, got {}", service.limits().messages, list.size()));
  OrderedJson y = OrderedJson::array();
  for (size_t i = 0; i < list.size(); i++) {
    const std::string here = fmt::format("messages[{}]", i);
    const Fields message(list[i], here);
    message.required_text("role");
    const std::string role = message.one_of("role", "", {"system", "developer", "user", "assistant", "tool"});
    OrderedJson copy = list[i];
    copy["content"] = content_of(list[i].contains("content") ? list[i]["content"] : OrderedJson(), here + ".content");
    if (!message.has("content") && role != "assistant")
      throw invalid_field(here + ".content", "expected a string, got none");
    if (role == "tool") message.required_text("tool_call_id");
    if (role == "assistant") {
      message.text("reasoning_content", "");
      read_calls(copy, here, service.model().tools);
    }
    if (role == "developer" && !is_dsml(service.model().tools)) copy["role"] = "system";
    y.push_back(std::move(copy));
  }
  return y;
}

OrderedJson read_tools(const Fields& fields, const Service& service) {
  const OrderedJson* tools = fields.list("tools");
  const OrderedJson* choice = fields.find("tool_choice");
  if (choice && !choice->is_string() && !choice->is_object())
    throw invalid_field("tool_choice", fmt::format("expected a string or an object, got {}", kind_of(*choice)));
  if (choice && choice->is_string()) fields.one_of("tool_choice", "", {"none", "auto", "required"});
  if (!tools || tools->empty() || (choice && *choice == "none")) return nullptr;
  if (service.model().tools == ToolFormat::kNone)
    throw ApiError(400, "invalid_request_error", "tools: this model's chat template has no tools", "tools",
                   "unsupported_parameter");
  if (int64_t(tools->size()) > service.limits().tools)
    throw invalid_field("tools", fmt::format("expected at most {} tools", service.limits().tools));
  for (size_t i = 0; i < tools->size(); i++) {
    const std::string here = fmt::format("tools[{}]", i);
    const Fields tool((*tools)[i], here);
    tool.one_of("type", "function", {"function"});
    const auto function = tool.object("function");
    if (!function) throw invalid_field(here + ".function", "expected an object, got none");
    const std::string name = function->required_text("name");
    const bool plain =
        std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
    if (name.empty() || name.size() > 64 || !plain)
      throw invalid_field(here + ".function.name", "expected 1 … 64 letters, digits, _ or -");
    function->object("parameters");
  }
  return *tools;
}

// thinking on or off, where the request says so.
std::optional<bool> read_thinking(const Fields& fields) {
  std::optional<bool> thinks;
  const std::string effort =
      fields.one_of("reasoning_effort", "", {"none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"});
  if (!effort.empty()) thinks = effort != "none";
  if (const auto thinking = fields.object("thinking"))
    thinks = thinking->one_of("type", "enabled", {"enabled", "disabled", "adaptive", "auto"}) != "disabled";
  if (const auto kwargs = fields.object("chat_template_kwargs"))
    for (const char* name : {"thinking", "enable_thinking"})
      if (kwargs->has(name)) thinks = kwargs->flag(name, true);
  return thinks;
}

// The model's marks of thought, whether the prompt opened it, and the budget.
Thinking thinking_of(const Fields& fields, const ChatPrompt& prompt, const Service& service) {
  Thinking y = service.model().thinking;
  y.open = prompt.reply.in_reasoning;
  const auto object = fields.object("thinking");
  const int64_t most = service.context();
  y.budget = int32_t(fields.integer("thinking_budget", -1, 0, most));
  std::string name = "thinking_budget";
  if (object && object->has("budget_tokens")) {
    y.budget = int32_t(object->integer("budget_tokens", -1, 0, INT32_MAX));
    name = "thinking.budget_tokens";
  }
  if (y.budget >= 0 && y.end < 0)
    throw ApiError(400, "invalid_request_error", name + ": this model has no token that ends a thought", name,
                   "unsupported_parameter");
  return y;
}

}  // namespace

const ChatRenderer& chat_of(const Service& service) {
  if (!service.model().chat)
    throw ApiError(400, "invalid_request_error",
                   fmt::format("the model \"{}\" has no chat template: use /v1/completions", service.model().name));
  return *service.model().chat;
}

ChatRequest read_chat(const Fields& fields, const Service& service) {
  ChatRequest chat;
  chat.messages = read_messages(fields, service);
  chat.tools = read_tools(fields, service);
  chat.kwargs = {{"add_generation_prompt", true}};
  if (const auto thinks = read_thinking(fields)) {
    chat.kwargs["thinking"] = *thinks;
    chat.kwargs["enable_thinking"] = *thinks;
  }
  return chat;
}

ChatPrompt render_chat(const ChatRequest& chat, const Service& service) {
  ChatPrompt y;
  try {
    const ChatRenderer& renderer = chat_of(service);
    std::string text = renderer.render(chat).text();
    const size_t most = size_t(service.context()) * 16;
    if (text.size() > most)
      throw ApiError(400, "invalid_request_error",
                     fmt::format("the prompt has {} bytes; the model's context of {} tokens cannot hold it",
                                 text.size(), service.context()),
                     "messages", "context_length_exceeded");
    y.ids = renderer.encode(chat);
    text.erase(text.find_last_not_of(" \n") + 1);
    y.reply.in_reasoning = text.ends_with("<think>");
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kInput && e.kind() != ErrorKind::kUnsupported) throw;
    throw ApiError(400, "invalid_request_error", e.what(), "messages", "invalid_value");
  }
  if (!chat.tools.is_null()) y.reply.tools = service.model().tools;
  return y;
}

ReplyParser::Options prepare_chat(const Fields& chat, const Fields& body, SamplingFields& sampling,
                                  const Service& service, const char* prompt_name) {
  ChatPrompt prompt = render_chat(read_chat(chat, service), service);
  EngineRequest& request = sampling.request;
  if (const auto calls = read_required_calls(chat, service.model().tools, service.grammars())) request.grammar = calls;
  request.thinking = thinking_of(body, prompt, service);
  fit_context(sampling, int64_t(prompt.ids.size()), service, prompt_name);
  request.prompt = std::move(prompt.ids);
  prompt.reply.stops = sampling.stops;
  return prompt.reply;
}

}  // namespace tenth
