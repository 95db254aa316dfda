// value | filter
#include "jinja/filters.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/arguments.h"
#include "jinja/characters.h"
#include "jinja/texts.h"

namespace tenth::jinja {
namespace {

using V = const Value&;
using P = const Parameters&;

Value length(Interpreter&, V value, P) {
  if (value.text()) return int64_t(count_characters(value.text()->text()));
  if (value.list()) return int64_t(value.list()->items.size());
  if (value.dict()) return int64_t(value.dict()->items.size());
  require(value.is_undefined(), ErrorKind::kInput, "expected a value with a length, got {}", value.type_name());
  return int64_t(0);
}

Value standard(Interpreter&, V value, P given) {
  const bool use = value.is_undefined() || (given.boolean(1, false) && !truth(value));
  return !use ? value : given.has(0) ? given.at(0) : Value("");
}

Value first(Interpreter& run, V value, P) {
  const auto items = run.items_of(value);
  return items->empty() ? Value::undefined("the first of an empty value") : items->front();
}

Value last(Interpreter& run, V value, P) {
  const auto items = run.items_of(value);
  return items->empty() ? Value::undefined("the last of an empty value") : items->back();
}

Value list(Interpreter& run, V value, P) {
  const auto items = run.items_of(value);
  run.charge(int64_t(items->size()));
  return Value(*items);
}

Value reverse(Interpreter& run, V value, P) {
  if (value.text()) return reversed(*value.text());
  const auto items = run.items_of(value);
  run.charge(int64_t(items->size()));
  return Value(std::vector<Value>(items->rbegin(), items->rend()));
}

Value join(Interpreter& run, V value, P given) {
  const MarkedText between = given.has(0) ? to_text(given.at(0)) : MarkedText();
  MarkedText out;
  bool is_first = true;
  const auto items = run.items_of(value);
  for (V item : *items) {
    const Value part = given.has(1) ? attribute_path(run, item, given.at(1)) : item;
    if (!std::exchange(is_first, false)) out.append(between);
    run.charge(part);
    run.charge(1 + int64_t(between.size() / 64));
    out.append(to_text(part));
    require(out.size() <= run.text_limit(), ErrorKind::kInput, "join: expected at most {} bytes", run.text_limit());
  }
  return out;
}

Value json(Interpreter& run, V value, P given) {
  JsonStyle style;
  style.ascii = given.boolean(0, false);
  style.sort_keys = given.boolean(3, false);
  if (given.has(1) && !given.at(1).is_none()) {
    style.indent = std::clamp<int64_t>(given.whole(1, 0), 0, 64);
    style.item_separator = std::string(1, ',');
  }
  if (given.has(2) && !given.at(2).is_none()) {
    const auto parts = run.items_of(given.at(2));
    require(parts->size() == 2 && (*parts)[0].text() && (*parts)[1].text(), ErrorKind::kInput,
            "tojson: separators: expected two strings");
    style.item_separator = (*parts)[0].text()->text();
    style.key_separator = (*parts)[1].text()->text();
  }
  run.charge(value.weight() * (1 + std::max<int64_t>(style.indent, 0) / 8));
  return to_json(value, style);
}

Value items(Interpreter& run, V value, P) {
  if (value.is_undefined()) return Value(std::vector<Value>());
  require(value.dict(), ErrorKind::kInput, "items: expected a dict, got {}", value.type_name());
  Arguments none;
  return run.call(run.attribute(value, "items"), none, "items");
}

Value replace_filter(Interpreter& run, V value, P given) {
  return replace(to_text(value), to_text(given.at(0)).text(), to_text(given.at(1)), given.whole(2, -1),
                 run.text_limit());
}

Value trim(Interpreter&, V value, P given) {
  if (!given.has(0) || given.at(0).is_none()) return trimmed(to_text(value));
  return trimmed(to_text(value), given.text(0).text());
}

Value indent(Interpreter& run, V value, P given) {
  MarkedText space(std::string(4, ' '));
  if (given.has(0) && given.at(0).text())
    space = *given.at(0).text();
  else if (given.has(0))
    space = MarkedText(std::string(size_t(std::clamp<int64_t>(given.whole(0, 4), 0, 1000)), ' '));
  const bool blank = given.boolean(2, false);
  MarkedText text = to_text(value), out;
  text.append("\n", Origin::kFrame);
  const auto lines = split_lines(text, false);
  for (size_t i = 0; i < lines.size(); i++) {
    if (i) out.append("\n", Origin::kFrame);
    if (i == 0 ? given.boolean(1, false) : blank || !lines[i].empty()) out.append(space);
    out.append(lines[i]);
    run.charge(1 + int64_t((space.size() + lines[i].size()) / 64));
    require(out.size() <= run.text_limit(), ErrorKind::kInput, "indent: expected at most {} bytes", run.text_limit());
  }
  return out;
}

Value title(Interpreter&, V value, P) {
  return titled(to_text(value), [](char32_t c) {
    return is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
  });
}

// int(text), where the whole text is one.
std::optional<int64_t> whole_of(const std::string& text, int64_t base) {
  std::string digits(left_trimmed(right_trimmed(text)));
  std::erase(digits, '_');
  if (digits.empty() || digits.size() > 64) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const long long number = std::strtoll(digits.c_str(), &end, int(base));
  if (errno || *end || std::isspace(uint8_t(digits[0]))) return std::nullopt;
  return number;
}

std::optional<double> real_of(const std::string& text) {
  const std::string digits(left_trimmed(right_trimmed(text)));
  if (digits.empty() || digits.size() > 400 || digits.find_first_of("xX") != digits.npos) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  return *end ? std::nullopt : std::optional(number);
}

Value to_whole(Interpreter&, V value, P given) {
  const Value otherwise = given.has(0) ? given.at(0) : Value(int64_t(0));
  const int64_t base = given.whole(1, 10);
  require(base == 0 || (base >= 2 && base <= 36), ErrorKind::kInput, "int: expected a base from 2 to 36");
  int64_t room;
  if (value.whole(room)) return room;
  std::optional<double> real;
  if (const double* number = value.get<double>()) real = *number;
  if (const MarkedText* text = value.text()) {
    if (const auto whole = whole_of(text->text(), base)) return *whole;
    real = real_of(text->text());
  }
  require(!value.is_undefined(), ErrorKind::kInput, "int: the value is undefined");
  if (!real || !(std::abs(*real) < 9e18)) return otherwise;
  return int64_t(*real);
}

Value to_real(Interpreter&, V value, P given) {
  require(!value.is_undefined(), ErrorKind::kInput, "float: the value is undefined");
  if (value.is_number()) return value.number();
  if (value.text())
    if (const auto real = real_of(value.text()->text())) return *real;
  return given.has(0) ? given.at(0) : Value(0.0);
}

Value absolute(Interpreter& run, V value, P) {
  require(value.is_number(), ErrorKind::kInput, "abs: expected a number, got {}", value.type_name());
  int64_t room;
  if (value.whole(room)) return room < 0 ? binary(run, "*", room, int64_t(-1)) : Value(room);
  return std::abs(value.number());
}

Value rounded(Interpreter&, V value, P given) {
  require(value.is_number(), ErrorKind::kInput, "round: expected a number, got {}", value.type_name());
  const int64_t precision = given.whole(0, 0);
  require(precision >= 0 && precision <= 15, ErrorKind::kInput, "round: expected a precision from 0 to 15");
  const std::string method = given.string(1, "common");
  require(method == "common" || method == "ceil" || method == "floor", ErrorKind::kInput,
          "round: expected common, ceil or floor, got {}", method);
  int64_t room;
  if (value.whole(room) && method == "common") return room;
  const double scale = std::pow(10.0, double(precision)), number = value.number();
  if (method == "ceil") return std::ceil(number * scale) / scale;
  if (method == "floor") return std::floor(number * scale) / scale;
  return std::strtod(fmt::format("{:.{}f}", number, precision).c_str(), nullptr);  // correctly rounded, as Python's
}

Value sum(Interpreter& run, V value, P given) {
  Value total = given.has(1) ? given.at(1) : Value(int64_t(0));
  const auto items = run.items_of(value);
  for (V item : *items)
    total =
        binary(run, "+", total, given.has(0) && !given.at(0).is_none() ? attribute_path(run, item, given.at(0)) : item);
  return total;
}

// "%s and %d" | format(a, b)
Value format(Interpreter& run, V value, const Arguments& given) {
  MarkedText out;
  const MarkedText text = to_text(value);
  const std::string& all = text.text();
  size_t next = 0, begin = 0;
  for (size_t at = 0; (at = all.find('%', at)) != all.npos; begin = at += 2) {
    out.append_part(text, begin, at);
    const char kind = at + 1 < all.size() ? all[at + 1] : '\0';
    if (kind == '%') {
      out.append("%", Origin::kFrame);
      continue;
    }
    require(kind == 's' || kind == 'd', ErrorKind::kUnsupported, "format: only %s, %d and %% are supported");
    require(next < given.positional.size(), ErrorKind::kInput, "format: expected more arguments");
    V argument = given.positional[next++];
    require(kind == 's' || argument.is_number(), ErrorKind::kInput, "format: expected a number for %d, got {}",
            argument.type_name());
    run.charge(argument);
    out.append(kind == 'd' && argument.get<double>() ? MarkedText(fmt::format("{:.0f}", std::trunc(argument.number())))
                                                     : to_text(argument));
  }
  require(next == given.positional.size() && given.named.empty(), ErrorKind::kInput, "format: too many arguments");
  out.append_part(text, begin, text.size());
  return out;
}

struct Filter {
  std::vector<const char*> parameters;
  Value (*call)(Interpreter&, V, P);
};

const std::unordered_map<std::string, Filter>& filters() {
  static const std::unordered_map<std::string, Filter> table = [] {
    std::unordered_map<std::string, Filter> t = {
        {"length", {{}, length}},
        {"default", {{"default_value", "boolean"}, standard}},
        {"first", {{}, first}},
        {"last", {{}, last}},
        {"list", {{}, list}},
        {"reverse", {{}, reverse}},
        {"join", {{"d", "attribute"}, join}},
        {"tojson", {{"ensure_ascii", "indent", "separators", "sort_keys"}, json}},
        {"items", {{}, items}},
        {"replace", {{"old", "new", "count"}, replace_filter}},
        {"trim", {{"chars"}, trim}},
        {"indent", {{"width", "first", "blank"}, indent}},
        {"title", {{}, title}},
        {"upper", {{}, [](Interpreter&, V v, P) -> Value { return upper(to_text(v)); }}},
        {"lower", {{}, [](Interpreter&, V v, P) -> Value { return lower(to_text(v)); }}},
        {"capitalize", {{}, [](Interpreter&, V v, P) -> Value { return capitalized(to_text(v)); }}},
        {"string", {{}, [](Interpreter&, V v, P) -> Value { return to_text(v); }}},
        {"safe", {{}, [](Interpreter&, V v, P) -> Value { return to_text(v); }}},
        {"int", {{"default", "base"}, to_whole}},
        {"float", {{"default"}, to_real}},
        {"abs", {{}, absolute}},
        {"round", {{"precision", "method"}, rounded}},
        {"sum", {{"attribute", "start"}, sum}},
        {"sort", {{"reverse", "case_sensitive", "attribute"}, sort_filter}},
        {"unique", {{"case_sensitive", "attribute"}, unique_filter}},
        {"min", {{"case_sensitive", "attribute"}, least_filter}},
        {"max", {{"case_sensitive", "attribute"}, greatest_filter}},
        {"dictsort", {{"case_sensitive", "by", "reverse"}, dictsort_filter}}};
    t["count"] = t["length"];
    t["d"] = t["default"];
    return t;
  }();
  return table;
}

}  // namespace

Value apply_filter(Interpreter& run, const std::string& name, const Value& value, Arguments& arguments) {
  if (is_selection(name)) return select_filter(run, name, value, arguments);
  if (name == "format") return format(run, value, arguments);
  const auto it = filters().find(name);
  require(it != filters().end(), ErrorKind::kUnsupported, "the filter {} is not supported", name);
  run.charge(value.text() ? value.weight() : 0);
  if (!value.text() && (name == "string" || name == "upper" || name == "lower" || name == "trim")) run.charge(value);
  return it->second.call(run, value, Parameters(name, arguments, it->second.parameters));
}

}  // namespace tenth::jinja
