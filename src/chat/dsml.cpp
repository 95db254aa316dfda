#include "chat/dsml.h"

#include "base/error.h"
#include "base/ordered_json.h"
#include "jinja/value.h"

namespace tenth {
namespace {

// The arguments of a call: an object, or the text of one. What is no JSON object is the value of one parameter.
OrderedJson arguments_of(const OrderedJson& function) {
  const OrderedJson& arguments = member(function, "arguments");
  if (arguments.is_object()) return arguments;
  const std::string text = text_member(function, "arguments");
  try {
    OrderedJson parsed = parse_ordered_json(text, "arguments");
    if (parsed.is_object()) return parsed;
  } catch (const Error&) {
  }
  return {{"arguments", text}};
}

}  // namespace

void Prompt::json(const OrderedJson& value, Origin origin) {
  text_.append(jinja::to_json(jinja::Value::from_json(value, origin), {}));
}

void Prompt::schemas(const OrderedJson& tools) {
  require(tools.is_array(), ErrorKind::kInput, "tools: expected a list, got {}", tools.type_name());
  bool first = true;
  for (const OrderedJson& tool : tools) {
    const OrderedJson& function = member(tool, "function");
    if (function.is_null()) continue;
    if (!std::exchange(first, false)) frame("\n");
    json(function, Origin::kUser);
  }
}

void Prompt::response_format(const OrderedJson& message) {
  const OrderedJson& format = member(message, "response_format");
  if (format.is_null()) return;
  frame("\n\n## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n");
  json(format, Origin::kUser);
}

void Prompt::call(const OrderedJson& call) {
  const OrderedJson& nested = member(call, "function");
  const OrderedJson& function = nested.is_null() ? call : nested;
  const std::string name = text_member(function, "name");
  require(!name.empty(), ErrorKind::kInput, "tool_calls: expected a function's name, got none");
  frame("<｜DSML｜invoke name=\"");
  data(name, Origin::kModel);
  frame("\">\n");
  const OrderedJson arguments = arguments_of(function);
  for (const auto& [key, value] : arguments.items()) {
    frame("<｜DSML｜parameter name=\"");
    data(key, Origin::kModel);
    frame(value.is_string() ? "\" string=\"true\">" : "\" string=\"false\">");
    if (value.is_string())
      data(value.get_ref<const std::string&>(), Origin::kModel);
    else
      json(value, Origin::kModel);
    frame("</｜DSML｜parameter>\n");
  }
  if (arguments.empty()) frame("\n");
  frame("</｜DSML｜invoke>\n");
}

void Prompt::tool_calls(const OrderedJson& message, const std::string& block) {
  const OrderedJson& calls = member(message, "tool_calls");
  if (calls.is_null() || calls.empty()) return;
  require(calls.is_array(), ErrorKind::kInput, "tool_calls: expected a list, got {}", calls.type_name());
  frame("\n\n<｜DSML｜" + block + ">\n");
  for (const OrderedJson& each : calls) call(each);
  frame("</｜DSML｜" + block + ">");
}

const OrderedJson& member(const OrderedJson& object, const char* key) {
  static const OrderedJson nothing;
  require(object.is_object(), ErrorKind::kInput, "expected an object with {}, got {}", key, object.type_name());
  const auto it = object.find(key);
  return it == object.end() ? nothing : *it;
}

std::string text_member(const OrderedJson& object, const char* key) {
  const OrderedJson& text = member(object, key);
  require(text.is_null() || text.is_string(), ErrorKind::kInput, "{}: expected a string, got {}", key,
          text.type_name());
  return text.is_null() ? "" : text.get<std::string>();
}

std::string content_text(const OrderedJson& content, const char* between) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  require(content.is_array(), ErrorKind::kInput, "content: expected a string or a list of texts, got {}",
          content.type_name());
  std::string text;
  for (size_t i = 0; i < content.size(); i++) {
    require(text_member(content[i], "type") == "text", ErrorKind::kInput, "content[{}]: expected a text, got {}", i,
            text_member(content[i], "type"));
    text += (i ? between : "") + text_member(content[i], "text");
  }
  return text;
}

bool flag(const ChatRequest& request, const char* key, bool otherwise) {
  const OrderedJson& value = member(request.kwargs, key);
  require(value.is_null() || value.is_boolean(), ErrorKind::kInput, "{}: expected true or false, got {}", key,
          value.type_name());
  return value.is_null() ? otherwise : value.get<bool>();
}

bool thinks(const ChatRequest& request) { return flag(request, "thinking", flag(request, "enable_thinking", true)); }

OrderedJson messages_with_tools(const ChatRequest& request) {
  OrderedJson messages = request.messages;
  if (request.tools.is_null() || request.tools.empty()) return messages;
  const std::string first = messages.empty() ? "" : text_member(messages[0], "role");
  if (first != "system" && first != "developer")
    messages.insert(messages.begin(), OrderedJson{{"role", "system"}, {"content", ""}});
  messages[0]["tools"] = request.tools;
  return messages;
}

int64_t last_user(const OrderedJson& messages) {
  for (auto i = int64_t(messages.size()); i-- > 0;) {
    const std::string role = text_member(messages[size_t(i)], "role");
    if (role == "user" || role == "developer") return i;
  }
  return -1;
}

}  // namespace tenth
