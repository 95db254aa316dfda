#include "serve/structured_output.h"

#include <algorithm>

#include "base/error.h"
#include "grammar/json_schema.h"
#include "serve/api_error.h"

namespace tenth {
namespace {

constexpr size_t kMostGrammars = 64, kMostBytes = 256 << 10;  // how many; of one's text
constexpr size_t kMemory = 256 << 20;                         // of all that they found; running requests keep theirs

OrderedJson schema_of(const OrderedJson& function) {
  const auto it = function.find("parameters");
  return it == function.end() || it->is_null() ? OrderedJson{{"type", "object"}} : *it;
}

void check_size(const std::string& text, const std::string& param) {
  if (text.size() > kMostBytes)
    throw invalid_field(param, fmt::format("expected at most {} bytes, got {}", kMostBytes, text.size()));
}

// What the grammar room refuses is about this field.
template <class Make>
std::shared_ptr<GrammarMasks> about(const std::string& param, const Make& make) {
  try {
    return make();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kInput && e.kind() != ErrorKind::kUnsupported) throw;
    throw ApiError(400, "invalid_request_error", e.what(), param,
                   e.kind() == ErrorKind::kUnsupported ? "unsupported_parameter" : "invalid_value");
  }
}

std::shared_ptr<GrammarMasks> read_typed(const Fields& format, const Fields& with_schema, GrammarStore& store) {
  const std::string type = format.one_of("type", "text", {"text", "json_object", "json_schema"});
  if (type == "text") return nullptr;
  if (type == "json_object") return store.any_object();
  const OrderedJson* schema = with_schema.find("schema");
  const std::string param = with_schema.name_of("schema");
  if (!schema) throw invalid_field(param, "expected a JSON Schema, got none");
  const bool strict = with_schema.flag("strict", false);
  return about(param, [&] { return store.of_schema(*schema, strict, param); });
}

}  // namespace

Grammar calls_grammar(const OrderedJson& tools, ToolFormat format, bool several, const GrammarVocabulary& vocabulary) {
  const auto spelled = [&](const std::string& text) { return vocabulary.spelled(text); };
  const ParameterSyntax parameters = {.before_name = spelled("<｜DSML｜parameter name=\""),
                                      .before_text = "\" string=\"true\">",
                                      .before_json = "\" string=\"false\">",
                                      .after = spelled("</｜DSML｜parameter>"),
                                      .between = "\n",
                                      .last = "\n",
                                      .never_in_text = "</｜DSML｜parameter>"};
  const ToolMarks& marks = tool_marks(format);
  const std::string begin(marks.begin), end(marks.end), begin_list(marks.begin_list), end_list(marks.end_list);
  std::vector<Grammar::Item> items;
  for (size_t i = 0; i < tools.size(); i++) {
    const OrderedJson schema = schema_of(tools[i]["function"]);
    const std::string name = tools[i]["function"]["name"].get<std::string>(),
                      where = fmt::format("tools[{}].function.parameters", i);
    Grammar arguments = is_dsml(format) ? Grammar::from_parameters(schema, where, MemberOrder::kAny, parameters)
                                        : Grammar::from_json_schema(schema, where, MemberOrder::kAny);
    std::string before, after;
    switch (format) {
      case ToolFormat::kNone: break;
      case ToolFormat::kHermes:
        before = "\n{\"name\": \"" + name + "\", \"arguments\": ";
        after = "}\n";
        break;
      case ToolFormat::kDeepSeekV3:
        before = "function<｜tool▁sep｜>" + name + "\n```json\n";
        after = "\n```";
        break;
      case ToolFormat::kDeepSeekV31: before = name + "<｜tool▁sep｜>"; break;
      case ToolFormat::kDsmlV32:
      case ToolFormat::kDsmlV4: before = "name=\"" + name + "\">\n"; break;
    }
    items.push_back({spelled(begin + before), std::move(arguments), spelled(after + end)});
  }
  const std::string between(marks.between);
  if (is_dsml(format))
    return Grammar::list({spelled("\n\n" + begin_list + "\n")}, items, between, spelled("\n" + end_list), several);
  // Behind a thought Qwen's format has a blank line.
  const std::vector<std::string> before =
      format == ToolFormat::kHermes ? std::vector<std::string>{"", "\n\n"} : std::vector{spelled(begin_list)};
  return Grammar::list(before, items, between, spelled(end_list), several);
}

template <class Make>
std::shared_ptr<GrammarMasks> GrammarStore::get(std::string key, const Make& make) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::find_if(known_.begin(), known_.end(), [&](const auto& entry) { return entry.first == key; });
    if (it != known_.end()) {
      known_.splice(known_.begin(), known_, it);
      return it->second;
    }
  }
  const auto made = std::make_shared<GrammarMasks>(make(), vocabulary_);
  const std::lock_guard lock(mutex_);
  known_.emplace_front(std::move(key), made);
  size_t bytes = 0, kept = 0;
  for (const auto& [text, masks] : known_) {
    bytes += masks->bytes();
    if (kept > 0 && bytes > kMemory) break;
    kept++;
  }
  known_.resize(std::min(kept, kMostGrammars));
  return made;
}

std::shared_ptr<GrammarMasks> GrammarStore::of_schema(const OrderedJson& schema, bool strict,
                                                      const std::string& where) {
  const std::string text = schema.dump();
  check_size(text, where);
  const MemberOrder order = strict ? MemberOrder::kAsListed : MemberOrder::kAny;
  return get(fmt::format("schema {} {}", strict, text),
             [&] { return Grammar::from_json_schema(schema, where, order); });
}

std::shared_ptr<GrammarMasks> GrammarStore::of_gbnf(const std::string& text, const std::string& where) {
  check_size(text, where);
  return get("gbnf " + text, [&] { return Grammar::from_gbnf(text, where, vocabulary_.get()); });
}

std::shared_ptr<GrammarMasks> GrammarStore::any_object() {
  return get("object", [] { return Grammar::json_object(); });
}

std::shared_ptr<GrammarMasks> GrammarStore::of_calls(const OrderedJson& tools, ToolFormat format, bool several) {
  const std::string text = tools.dump();
  check_size(text, "tools");
  return get(fmt::format("calls {} {}", several, text),
             [&] { return calls_grammar(tools, format, several, *vocabulary_); });
}

std::shared_ptr<GrammarMasks> read_format(const Fields& fields, GrammarStore& store) {
  const auto format = fields.object("response_format");
  auto masks = format ? read_typed(*format, format->object("json_schema").value_or(*format), store) : nullptr;
  if (!fields.has("grammar")) return masks;
  if (masks) throw invalid_field("grammar", "expected it or response_format, got both");
  const std::string text = fields.text("grammar", "");
  return about("grammar", [&] { return store.of_gbnf(text, "grammar"); });
}

std::shared_ptr<GrammarMasks> read_text_format(const Fields& fields, GrammarStore& store) {
  const auto text = fields.object("text");
  const auto format = text ? text->object("format") : std::nullopt;
  return format ? read_typed(*format, *format, store) : nullptr;
}

std::shared_ptr<GrammarMasks> read_required_calls(const Fields& fields, ToolFormat format, GrammarStore& store) {
  const OrderedJson *tools = fields.list("tools"), *choice = fields.find("tool_choice");
  if (!choice || *choice == "auto" || *choice == "none") return nullptr;
  if (!tools || tools->empty()) throw invalid_field("tool_choice", "expected tools with it, got none");
  if (format == ToolFormat::kNone)
    throw ApiError(400, "invalid_request_error",
                   "tool_choice: this model has no format of calls that can be forced: only none and auto",
                   "tool_choice", "unsupported_parameter");
  OrderedJson chosen = *tools;
  if (choice->is_object()) {
    const auto function = Fields(*choice, "tool_choice").object("function");
    if (!function) throw invalid_field("tool_choice.function", "expected an object, got none");
    const std::string name = function->required_text("name");
    chosen = OrderedJson::array();
    for (const OrderedJson& tool : *tools)
      if (tool["function"]["name"] == name) chosen.push_back(tool);
    if (chosen.empty())
      throw invalid_field("tool_choice.function.name", fmt::format("there is no tool \"{}\" in this request", name));
  }
  const bool several = !choice->is_object() && fields.flag("parallel_tool_calls", true);
  return about("tools", [&] { return store.of_calls(chosen, format, several); });
}

}  // namespace tenth
