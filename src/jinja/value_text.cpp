// Values as Python prints them, and as JSON.
#include <utf8proc.h>

#include <charconv>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/value.h"

namespace tenth::jinja {
namespace {

[[noreturn]] void no_text(const Value& value, const char* form) {
  fail(ErrorKind::kInput, "expected a value that has {}, got {}", form, value.type_name());
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(utf8proc_int32_t(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

// repr of a string: ' for quotes unless there are only ' in it.
std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (c == char32_t(quote) || c == '\\')
      (out += '\\') += char(c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (is_printable(c))
      out.append(text, begin, at - begin);
    else
      out += c < 0x100     ? fmt::format("\\x{:02x}", uint32_t(c))
             : c < 0x10000 ? fmt::format("\\u{:04x}", uint32_t(c))
                           : fmt::format("\\U{:08x}", uint32_t(c));
  }
  return out += quote;
}

std::string json_string(const std::string& text, bool ascii) { return OrderedJson(text).dump(-1, ' ', ascii); }

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  MarkedText run(const Value& value) {
    write(value, 0);
    return MarkedText(std::move(out_), origin_);
  }

 private:
  void string(const MarkedText& text) {
    origin_ = std::max(origin_, text.strictest());
    // json.dumps writes \u007f as it is, and so does nlohmann's writer; both use the short escapes.
    out_ += json_string(text.text(), style_.ascii);
  }

  void write(const Value& value, int64_t level) {
    if (value.text())
      string(*value.text());
    else if (value.list())
      sequence(value.list()->items, '[', ']', level, [&](const Value& item) { write(item, level + 1); });
    else if (value.dict())
      object(*value.dict(), level);
    else
      scalar(value);
  }

  void scalar(const Value& value) {
    if (const double* number = value.get<double>()) {
      out_ += std::isnan(*number)   ? "NaN"
              : std::isinf(*number) ? (*number < 0 ? "-Infinity" : "Infinity")
                                    : number_text(*number);
    } else if (const bool* truth = value.get<bool>()) {
      out_ += *truth ? "true" : "false";
    } else if (const int64_t* number = value.get<int64_t>()) {
      out_ += std::to_string(*number);
    } else if (value.is_none()) {
      out_ += "null";
    } else {
      no_text(value, "a JSON form");
    }
  }

  void key(const Value& key) {
    if (key.text()) return string(*key.text());
    out_ += '"';
    scalar(key);
    out_ += '"';
  }

  void object(const Dict& dict, int64_t level) {
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys)
      std::stable_sort(items.begin(), items.end(), [](auto* a, auto* b) { return less(a->first, b->first); });
    sequence(items, '{', '}', level, [&](const std::pair<Value, Value>* item) {
      key(item->first);
      out_ += style_.key_separator;
      write(item->second, level + 1);
    });
  }

  template <class Items, class Each>
  void sequence(const Items& items, char open, char close, int64_t level, const Each& each) {
    out_ += open;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out_ += style_.item_separator;
      first = false;
      new_line(level + 1);
      each(item);
    }
    if (!first) new_line(level);
    out_ += close;
  }

  void new_line(int64_t level) {
    if (style_.indent < 0) return;
    out_ += '\n';
    out_.append(size_t(level * style_.indent), ' ');
  }

  const JsonStyle& style_;
  std::string out_;
  Origin origin_ = Origin::kFrame;
};

}  // namespace

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto shortest = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string scientific(buffer, shortest.ptr);  // the fewest digits that read back as value
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (exponent < -4 || exponent >= 16) return scientific;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  std::string text(buffer, fixed.ptr);
  if (text.find('.') == text.npos) text += ".0";
  return text;
}

MarkedText to_text(const Value& value) {
  if (value.text()) return *value.text();
  if (value.is_undefined()) return {};
  return representation(value);
}

MarkedText representation(const Value& value) {
  if (const MarkedText* text = value.text()) return MarkedText(quoted(text->text()), text->strictest());
  if (const double* number = value.get<double>()) return MarkedText(number_text(*number));
  if (const bool* truth = value.get<bool>()) return MarkedText(*truth ? "True" : "False");
  if (const int64_t* number = value.get<int64_t>()) return MarkedText(std::to_string(*number));
  if (value.is_none()) return MarkedText("None");
  if (value.is_undefined()) return MarkedText("Undefined");
  MarkedText out;
  auto put = [&](const char* text) { out.append(text, Origin::kFrame); };
  if (const List* list = value.list()) {
    put(list->tuple ? "(" : "[");
    for (size_t i = 0; i < list->items.size(); i++) {
      if (i) put(", ");
      out.append(representation(list->items[i]));
    }
    put(!list->tuple ? "]" : list->items.size() == 1 ? ",)" : ")");
  } else if (const Dict* dict = value.dict()) {
    put("{");
    for (size_t i = 0; i < dict->items.size(); i++) {
      if (i) put(", ");
      out.append(representation(dict->items[i].first));
      put(": ");
      out.append(representation(dict->items[i].second));
    }
    put("}");
  } else {
    no_text(value, "a text");
  }
  return out;
}

MarkedText to_json(const Value& value, const JsonStyle& style) { return JsonWriter(style).run(value); }

}  // namespace tenth::jinja
