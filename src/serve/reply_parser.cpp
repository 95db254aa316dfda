#include "serve/reply_parser.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/ordered_json.h"

namespace tenth {
namespace {

constexpr std::string_view kThink = "<think>", kEndThink = "</think>", kSpace = " \n\r\t";

struct ToolMarks {
  std::string_view begin, end;           // of one call
  std::vector<std::string_view> around;  // marks of the list of calls, which say nothing by themselves
};

const ToolMarks& marks_of(ToolFormat format) {
  static const ToolMarks none, hermes{"<tool_call>", "</tool_call>", {}},
      deepseek{"<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"}},
      dsml{"<｜DSML｜invoke ",
           "</｜DSML｜invoke>",
           {"<｜DSML｜function_calls>", "</｜DSML｜function_calls>", "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"}};
  switch (format) {
    case ToolFormat::kHermes: return hermes;
    case ToolFormat::kDeepSeek: return deepseek;
    case ToolFormat::kDsml: return dsml;
    case ToolFormat::kNone: break;
  }
  return none;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

// Bytes at the end of text that begin the mark.
size_t partial(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; n--)
    if (text.ends_with(mark.substr(0, n))) return n;
  return 0;
}

struct Call {
  std::string name, arguments;
};

std::optional<OrderedJson> json_of(std::string_view text) {
  try {
    return parse_ordered_json(trimmed(text), "call");
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<Call> hermes_call(std::string_view text) {
  const auto json = json_of(text);
  if (!json || !json->is_object() || !json->contains("name") || !(*json)["name"].is_string()) return std::nullopt;
  const char* key = json->contains("arguments") ? "arguments" : "parameters";
  if (!json->contains(key)) return Call{(*json)["name"].get<std::string>(), "{}"};
  const OrderedJson& arguments = (*json)[key];
  if (arguments.is_string()) return Call{(*json)["name"].get<std::string>(), arguments.get<std::string>()};
  if (!arguments.is_object()) return std::nullopt;
  return Call{(*json)["name"].get<std::string>(), arguments.dump()};
}

// V3, R1: function<｜tool▁sep｜>name, a newline, ```json … ```.  V3.1: name<｜tool▁sep｜>{…}.
std::optional<Call> deepseek_call(std::string_view text) {
  constexpr std::string_view kSeparator = "<｜tool▁sep｜>", kFence = "```json";
  const size_t at = text.find(kSeparator);
  if (at == text.npos) return std::nullopt;
  std::string_view name = trimmed(text.substr(0, at)), arguments = text.substr(at + kSeparator.size());
  if (const size_t fence = arguments.find(kFence); fence != arguments.npos && name == "function") {
    name = trimmed(arguments.substr(0, fence));
    arguments = arguments.substr(fence + kFence.size());
    arguments = arguments.substr(0, arguments.rfind("```"));
  }
  const auto json = json_of(arguments);
  if (name.empty() || !json || !json->is_object()) return std::nullopt;
  return Call{std::string(name), json->dump()};
}

// name="…"> <｜DSML｜parameter name="…" string="true|false">…</｜DSML｜parameter> …
std::optional<Call> dsml_call(std::string_view text) {
  constexpr std::string_view kName = "name=\"", kParameter = "<｜DSML｜parameter ", kEnd = "</｜DSML｜parameter>";
  const auto quoted = [](std::string_view from, std::string_view key) -> std::optional<std::string_view> {
    const size_t at = from.find(key);
    if (at == from.npos) return std::nullopt;
    from.remove_prefix(at + key.size());
    const size_t quote = from.find('"');
    if (quote == from.npos) return std::nullopt;
    return from.substr(0, quote);
  };
  const auto name = quoted(text.substr(0, text.find('>')), kName);
  if (!name || name->empty()) return std::nullopt;
  OrderedJson arguments = OrderedJson::object();
  for (size_t at; (at = text.find(kParameter)) != text.npos;) {
    text.remove_prefix(at + kParameter.size());
    const size_t open = text.find('>'), end = text.find(kEnd);
    if (open == text.npos || end == text.npos || open > end) return std::nullopt;
    const auto key = quoted(text.substr(0, open), kName), string = quoted(text.substr(0, open), "string=\"");
    const std::string_view value = text.substr(open + 1, end - open - 1);
    if (!key) return std::nullopt;
    const auto json = string == "true" ? std::optional<OrderedJson>(std::string(value)) : json_of(value);
    if (!json) return std::nullopt;
    arguments[std::string(*key)] = *json;
    text.remove_prefix(end + kEnd.size());
  }
  return Call{std::string(*name), arguments.dump()};
}

std::optional<Call> parse_call(ToolFormat format, std::string_view text) {
  if (format == ToolFormat::kHermes) return hermes_call(text);
  return format == ToolFormat::kDeepSeek ? deepseek_call(text) : dsml_call(text);
}

}  // namespace

ToolFormat tool_format_of(std::string_view chat_template) {
  const auto has = [&](std::string_view mark) { return chat_template.find(mark) != chat_template.npos; };
  if (has("<｜tool▁call▁begin｜>")) return ToolFormat::kDeepSeek;
  if (has("<｜DSML｜")) return ToolFormat::kDsml;
  return has("<tool_call>") ? ToolFormat::kHermes : ToolFormat::kNone;
}

ReplyParser::ReplyParser(Options options) : options_(std::move(options)) {
  state_ = !options_.split_reasoning ? State::kContent : options_.in_reasoning ? State::kReasoning : State::kStart;
  trim_ = state_ == State::kReasoning;
}

std::vector<ReplyPart> ReplyParser::push(std::string_view text) {
  std::vector<ReplyPart> parts;
  if (stopped()) return parts;
  held_ += text;
  size_t cut = std::string::npos, hold = 0;
  for (const std::string& stop : options_.stops) {
    if (const size_t at = held_.find(stop); at < cut) {
      cut = at;
      stop_ = stop;
    }
    hold = std::max(hold, partial(held_, stop));
  }
  if (!stopped()) cut = held_.size() - hold;
  waiting_.append(held_, 0, cut);
  held_.erase(0, cut);
  scan(stopped(), parts);
  return parts;
}

std::vector<ReplyPart> ReplyParser::finish() {
  std::vector<ReplyPart> parts;
  if (stopped()) return parts;
  waiting_ += held_;
  held_.clear();
  scan(true, parts);
  return parts;
}

void ReplyParser::scan(bool final, std::vector<ReplyPart>& parts) {
  while (advance(final, parts)) {
  }
}

bool ReplyParser::advance(bool final, std::vector<ReplyPart>& parts) {
  if (waiting_.empty() && !(final && state_ == State::kCall)) return false;
  switch (state_) {
    case State::kStart: {
      const std::string_view text = trimmed(waiting_);
      if (!final && kThink.starts_with(text) && text != kThink) return false;  // also of white space only
      state_ = State::kContent;
      if (text.starts_with(kThink)) {
        waiting_.erase(0, waiting_.find(kThink) + kThink.size());
        state_ = State::kReasoning;
        trim_ = true;
      }
      return true;
    }
    case State::kReasoning: {
      const size_t at = waiting_.find(kEndThink);
      const size_t end = at != waiting_.npos ? at : waiting_.size() - (final ? 0 : partial(waiting_, kEndThink));
      put(ReplyPart::Kind::kReasoning, std::string_view(waiting_).substr(0, end), parts);
      waiting_.erase(0, at != waiting_.npos ? end + kEndThink.size() : end);
      if (at == waiting_.npos) return false;
      state_ = State::kContent;
      trim_ = true;
      return true;
    }
    case State::kContent: {
      if (options_.tools == ToolFormat::kNone) {
        put(ReplyPart::Kind::kContent, waiting_, parts);
        waiting_.clear();
        return false;
      }
      const ToolMarks& marks = marks_of(options_.tools);
      size_t first = waiting_.npos, hold = 0;
      std::string_view found;
      const auto look = [&](std::string_view mark) {
        if (const size_t at = waiting_.find(mark); at < first) {
          first = at;
          found = mark;
        }
        hold = std::max(hold, partial(waiting_, mark));
      };
      look(marks.begin);
      for (std::string_view mark : marks.around) look(mark);
      const size_t end = first != waiting_.npos ? first : waiting_.size() - (final ? 0 : hold);
      put(ReplyPart::Kind::kContent, std::string_view(waiting_).substr(0, end), parts);
      waiting_.erase(0, end + found.size());
      if (found.empty()) return false;
      trim_ = true;
      if (found == marks.begin) state_ = State::kCall;
      return true;
    }
    case State::kCall: {
      const ToolMarks& marks = marks_of(options_.tools);
      const size_t at = waiting_.find(marks.end);
      if (at == waiting_.npos && !final) return false;
      const size_t end = std::min(at, waiting_.size());
      const std::string call = waiting_.substr(0, end);
      waiting_.erase(0, at != waiting_.npos ? end + marks.end.size() : end);
      state_ = State::kContent;
      put_call(call, parts);
      return true;
    }
  }
  return false;
}

void ReplyParser::put(ReplyPart::Kind kind, std::string_view text, std::vector<ReplyPart>& parts) {
  if (trim_) text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  if (text.empty()) return;
  trim_ = false;
  parts.push_back({kind, std::string(text), ""});
}

// A call that cannot be read is text.
void ReplyParser::put_call(std::string_view text, std::vector<ReplyPart>& parts) {
  const ToolMarks& marks = marks_of(options_.tools);
  auto call = parse_call(options_.tools, text);
  if (!call) {
    trim_ = false;
    return put(ReplyPart::Kind::kContent, fmt::format("{}{}{}", marks.begin, text, marks.end), parts);
  }
  calls_++;
  parts.push_back({ReplyPart::Kind::kToolCall, std::move(call->arguments), std::move(call->name)});
  trim_ = true;
}

}  // namespace tenth
