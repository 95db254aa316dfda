#include "serve/call_text.h"

#include "base/error.h"
#include "base/ordered_json.h"
#include "serve/sse.h"

namespace tenth {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

namespace {

constexpr std::string_view kParameter = "<｜DSML｜parameter ", kEndParameter = "</｜DSML｜parameter>";

std::optional<OrderedJson> json_of(std::string_view text) {
  try {
    return parse_ordered_json(trimmed(text), "call", TwiceKey::kLast);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Arguments may be an object, or a text that is one.
std::optional<WrittenCall> call_of(std::string name, std::optional<OrderedJson> arguments) {
  if (arguments && arguments->is_string()) arguments = json_of(arguments->get<std::string>());
  if (name.empty() || !arguments || !arguments->is_object()) return std::nullopt;
  return WrittenCall{std::move(name), text_of(*arguments)};
}

std::optional<WrittenCall> read_hermes(std::string_view text) {
  const auto json = json_of(text);
  if (!json || !json->is_object() || !json->contains("name") || !(*json)["name"].is_string()) return std::nullopt;
  const char* key = json->contains("arguments") ? "arguments" : "parameters";
  return call_of((*json)["name"].get<std::string>(), json->contains(key) ? (*json)[key] : OrderedJson::object());
}

// V3, R1: function<｜tool▁sep｜>name, a newline, ```json … ```.  V3.1: name<｜tool▁sep｜>{…}.
std::optional<WrittenCall> read_deepseek(std::string_view text) {
  constexpr std::string_view kSeparator = "<｜tool▁sep｜>", kFence = "```json";
  const size_t at = text.find(kSeparator);
  if (at == text.npos) return std::nullopt;
  std::string_view name = trimmed(text.substr(0, at)), arguments = text.substr(at + kSeparator.size());
  if (const size_t fence = arguments.find(kFence); fence != arguments.npos && name == "function") {
    name = trimmed(arguments.substr(0, fence));
    arguments = arguments.substr(fence + kFence.size());
    arguments = arguments.substr(0, arguments.rfind("```"));
  }
  return call_of(std::string(name), json_of(arguments));
}

// Of a tag: the value of key="…".
std::optional<std::string_view> attribute(std::string_view tag, std::string_view key) {
  const size_t at = tag.find(std::string(key) + "=\"");
  if (at == tag.npos) return std::nullopt;
  tag.remove_prefix(at + key.size() + 2);
  const size_t quote = tag.find('"');
  if (quote == tag.npos) return std::nullopt;
  return tag.substr(0, quote);
}

}  // namespace

// unknown: text ends before it can be told.
bool CallText::at_mark(std::string_view text, std::string_view mark, bool& unknown) const {
  const std::string_view here = text.substr(at_, mark.size());
  if (here == mark) return true;
  unknown |= mark.starts_with(here);
  return false;
}

bool CallText::step(std::string_view text) {
  const char c = text[at_];
  const bool dsml = is_dsml(format_);
  bool unknown = false;
  switch (state_) {
    case State::kOutside:
      if (dsml ? c == '<' : c == tool_marks(format_).end[0]) {
        if (at_mark(text, tool_marks(format_).end, unknown)) {
          end_ = at_;
          return true;
        }
        if (dsml && at_mark(text, kParameter, unknown)) {
          state_ = State::kTag;
          at_ += kParameter.size();
          parameters_.push_back({at_, 0, 0, false});
          quoted_ = false;
          return true;
        }
        if (unknown) return false;
      }
      if (!dsml && c == '"') state_ = State::kString;
      break;
    case State::kTag:
      if (c == '"') quoted_ = !quoted_;
      if (c != '>' || quoted_) break;
      parameters_.back().text =
          attribute(text.substr(parameters_.back().tag, at_ - parameters_.back().tag), "string") == "true";
      parameters_.back().value = at_ + 1;
      state_ = parameters_.back().text ? State::kText : State::kJson;
      break;
    case State::kText:
    case State::kJson:
      if (c == '<' && at_mark(text, kEndParameter, unknown)) {
        parameters_.back().end = at_;
        at_ += kEndParameter.size();
        state_ = State::kOutside;
        return true;
      }
      if (unknown) return false;
      if (c == '"' && state_ == State::kJson) state_ = State::kString;
      break;
    case State::kString:
      if (c == '"') state_ = dsml ? State::kJson : State::kOutside;
      if (c == '\\') state_ = State::kEscape;
      if (uint8_t(c) < 0x20) state_ = State::kBroken;
      break;
    case State::kEscape: state_ = State::kString; break;
    case State::kBroken: return false;
  }
  at_++;
  return true;
}

size_t CallText::find_end(std::string_view text) {
  while (end_ == text.npos && at_ < text.size() && step(text)) {
  }
  return end_;
}

std::optional<WrittenCall> CallText::read(std::string_view text) const {
  if (broken()) return std::nullopt;
  if (is_dsml(format_)) return read_dsml(text);
  return format_ == ToolFormat::kHermes ? read_hermes(text) : read_deepseek(text);
}

// name="…"> <｜DSML｜parameter name="…" string="true|false">…</｜DSML｜parameter> …
std::optional<WrittenCall> CallText::read_dsml(std::string_view text) const {
  if (state_ != State::kOutside) return std::nullopt;  // a parameter that does not end
  const auto name = attribute(text.substr(0, text.find('>')), "name");
  if (!name) return std::nullopt;
  OrderedJson arguments = OrderedJson::object();
  for (const Parameter& p : parameters_) {
    const auto key = attribute(text.substr(p.tag, p.value - p.tag), "name");
    const std::string_view value = text.substr(p.value, p.end - p.value);
    const auto json = p.text ? std::optional<OrderedJson>(std::string(value)) : json_of(value);
    if (!key || !json) return std::nullopt;
    arguments[std::string(*key)] = *json;
  }
  return call_of(std::string(*name), std::move(arguments));
}

}  // namespace tenth
