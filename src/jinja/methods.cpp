// Methods of strings, lists and dicts, and the attributes of `loop`.
#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/arguments.h"
#include "jinja/characters.h"
#include "jinja/texts.h"

namespace tenth::jinja {
namespace {

struct Method {
  std::vector<const char*> parameters;
  Value (*call)(Interpreter& run, const Value& self, const Parameters& given);
};
using Methods = std::unordered_map<std::string, Method>;

std::vector<Value> values_of(Interpreter& run, std::vector<MarkedText> texts) {
  run.charge(4 * int64_t(texts.size()));
  return {std::make_move_iterator(texts.begin()), std::make_move_iterator(texts.end())};
}

Value split_method(Interpreter& run, const Value& self, const Parameters& given, bool from_right) {
  const int64_t most = given.whole(1, -1);
  if (!given.has(0) || given.at(0).is_none()) {
    require(!from_right || most < 0, ErrorKind::kUnsupported, "rsplit at white space with a limit is not supported");
    return values_of(run, split_words(*self.text(), most));
  }
  const std::string& separator = given.text(0).text();
  require(!separator.empty(), ErrorKind::kInput, "split: expected a separator, got an empty one");
  return values_of(run, from_right ? split_right(*self.text(), separator, most) : split(*self.text(), separator, most));
}

template <bool kLeft, bool kRight>
Value strip(Interpreter&, const Value& self, const Parameters& given) {
  const MarkedText& text = *self.text();
  std::string_view left = text.text();
  if (given.has(0) && !given.at(0).is_none()) {
    const std::string& set = given.text(0).text();
    if (kRight) left = right_trimmed(left, set);
    if (kLeft) left = left_trimmed(left, set);
  } else {
    if (kRight) left = right_trimmed(left);
    if (kLeft) left = left_trimmed(left);
  }
  return part_of(text, left);
}

bool has_end(std::string_view text, const MarkedText& end, bool front) {
  return front ? text.starts_with(end.text()) : text.ends_with(end.text());
}

template <bool kFront>
Value has_end_method(Interpreter&, const Value& self, const Parameters& given) {
  const std::string& text = self.text()->text();
  const List* choices = given.at(0).list();
  if (!choices || !choices->tuple) return has_end(text, given.text(0), kFront);
  return std::any_of(choices->items.begin(), choices->items.end(), [&](const Value& end) {
    require(end.text(), ErrorKind::kInput, "expected strings in the tuple, got {}", end.type_name());
    return has_end(text, *end.text(), kFront);
  });
}

template <bool kFront>
Value without_end(Interpreter&, const Value& self, const Parameters& given) {
  const MarkedText& text = *self.text();
  const MarkedText& end = given.text(0);
  if (!has_end(text.text(), end, kFront)) return text;
  return kFront ? text.part(end.size(), text.size()) : text.part(0, text.size() - end.size());
}

Value find_text(const Value& self, const Parameters& given, bool from_right) {
  const std::string &text = self.text()->text(), &part = given.text(0).text();
  const size_t at = from_right ? text.rfind(part) : text.find(part);
  return at == text.npos ? int64_t(-1) : int64_t(count_characters(std::string_view(text).substr(0, at)));
}

Value count_text(Interpreter&, const Value& self, const Parameters& given) {
  const std::string &text = self.text()->text(), &part = given.text(0).text();
  if (part.empty()) return int64_t(count_characters(text)) + 1;
  int64_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) count++;
  return count;
}

Value replace_method(Interpreter& run, const Value& self, const Parameters& given) {
  return replace(*self.text(), given.text(0).text(), given.text(1), given.whole(2, -1), run.text_limit());
}

Value join_method(Interpreter& run, const Value& self, const Parameters& given) {
  MarkedText out;
  bool first = true;
  const auto items = run.items_of(given.at(0));
  for (const Value& part : *items) {
    require(part.text(), ErrorKind::kInput, "join: expected strings, got {}", part.type_name());
    if (!std::exchange(first, false)) out.append(*self.text());
    out.append(*part.text());
    run.charge(1 + int64_t((part.text()->size() + self.text()->size()) / 64));
    require(out.size() <= run.text_limit(), ErrorKind::kInput, "join: expected at most {} bytes", run.text_limit());
  }
  return out;
}

// "{} {0} {name}".format(...), without what may stand behind a name.
Value format(Interpreter& run, const MarkedText& text, const Arguments& given) {
  MarkedText out;
  const std::string& all = text.text();
  size_t next = 0, begin = 0;
  for (size_t at = 0; (at = all.find_first_of("{}", at)) != all.npos;) {
    out.append_part(text, begin, at);
    if (at + 1 < all.size() && all[at + 1] == all[at]) {
      out.append_part(text, at, at + 1);
      begin = at += 2;
      continue;
    }
    const size_t end = all.find('}', at);
    require(all[at] == '{' && end != all.npos, ErrorKind::kInput, "format: expected {{ and }} in pairs");
    const std::string field = all.substr(at + 1, end - at - 1);
    const Value* value = nullptr;
    const bool is_index = !field.empty() && field.size() < 6 && field.find_first_not_of("0123456789") == field.npos;
    const size_t index = field.empty() ? next++ : is_index ? size_t(std::stoul(field)) : given.positional.size();
    if (index < given.positional.size()) value = &given.positional[index];
    for (const auto& [name, named] : given.named)
      if (name == field) value = &named;
    require(value, ErrorKind::kInput, "format: no argument for {{{}}}", field);
    run.charge(*value);
    out.append(to_text(*value));
    require(out.size() <= run.text_limit(), ErrorKind::kInput, "format: expected at most {} bytes", run.text_limit());
    begin = at = end + 1;
  }
  out.append_part(text, begin, text.size());
  return out;
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }

// Whether there is a character, and all are such.
template <bool (*kIs)(char32_t)>
Value all_are(Interpreter&, const Value& self, const Parameters&) {
  const std::string& text = self.text()->text();
  for (size_t at = 0; at < text.size();)
    if (!kIs(next_code_point(text, at))) return false;
  return !text.empty();
}

bool is_letter_or_digit(char32_t c) { return is_letter(c) || is_digit(c); }

// Whether there is a letter with a case, and none of the other case.
template <bool kUpper>
Value case_is(Interpreter&, const Value& self, const Parameters&) {
  const std::string& text = self.text()->text();
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (kUpper ? to_upper(c) != c : to_lower(c) != c) return false;
    any = any || (kUpper ? to_lower(c) != c : to_upper(c) != c);
  }
  return any;
}

const Methods& string_methods() {
  using V = const Value&;
  using P = const Parameters&;
  static const Methods methods = {
      {"upper", {{}, [](Interpreter&, V self, P) -> Value { return upper(*self.text()); }}},
      {"lower", {{}, [](Interpreter&, V self, P) -> Value { return lower(*self.text()); }}},
      {"capitalize", {{}, [](Interpreter&, V self, P) -> Value { return capitalized(*self.text()); }}},
      {"title",
       {{},
        [](Interpreter&, V self, P) -> Value {
          return titled(*self.text(), [](char32_t c) { return !is_letter(c); });
        }}},
      {"strip", {{"chars"}, strip<true, true>}},
      {"lstrip", {{"chars"}, strip<true, false>}},
      {"rstrip", {{"chars"}, strip<false, true>}},
      {"split",
       {{"sep", "maxsplit"}, [](Interpreter& run, V self, P given) { return split_method(run, self, given, false); }}},
      {"rsplit",
       {{"sep", "maxsplit"}, [](Interpreter& run, V self, P given) { return split_method(run, self, given, true); }}},
      {"splitlines",
       {{"keepends"},
        [](Interpreter& run, V self, P given) -> Value {
          return values_of(run, split_lines(*self.text(), given.boolean(0, false)));
        }}},
      {"startswith", {{"prefix"}, has_end_method<true>}},
      {"endswith", {{"suffix"}, has_end_method<false>}},
      {"removeprefix", {{"prefix"}, without_end<true>}},
      {"removesuffix", {{"suffix"}, without_end<false>}},
      {"replace", {{"old", "new", "count"}, replace_method}},
      {"find", {{"sub"}, [](Interpreter&, V self, P given) { return find_text(self, given, false); }}},
      {"rfind", {{"sub"}, [](Interpreter&, V self, P given) { return find_text(self, given, true); }}},
      {"count", {{"sub"}, count_text}},
      {"join", {{"iterable"}, join_method}},
      {"isdigit", {{}, all_are<is_digit>}},
      {"isalpha", {{}, all_are<is_letter>}},
      {"isalnum", {{}, all_are<is_letter_or_digit>}},
      {"isspace", {{}, all_are<is_space>}},
      {"isupper", {{}, case_is<true>}},
      {"islower", {{}, case_is<false>}}};
  return methods;
}

Value pair(Value a, Value b) {
  std::vector<Value> both;
  both.push_back(std::move(a));
  both.push_back(std::move(b));
  return Value(std::move(both), true);
}

template <int kWhat>  // 0: keys, 1: values, 2: both
Value entries(Interpreter& run, const Value& self, const Parameters&) {
  std::vector<Value> list;
  run.charge(int64_t(self.dict()->items.size()));
  for (const auto& [key, value] : self.dict()->items)
    list.push_back(kWhat == 0 ? key : kWhat == 1 ? value : pair(key, value));
  return Value(std::move(list));
}

const Methods& dict_methods() {
  static const Methods methods = {
      {"keys", {{}, entries<0>}},
      {"values", {{}, entries<1>}},
      {"items", {{}, entries<2>}},
      {"copy", {{}, [](Interpreter&, const Value& self, const Parameters&) { return self; }}},
      {"get", {{"key", "default"}, [](Interpreter& run, const Value& self, const Parameters& given) -> Value {
                 run.charge(int64_t(self.dict()->items.size() / 16));
                 if (const Value* value = self.dict()->find(given.at(0))) return *value;
                 return given.has(1) ? given.at(1) : Value(None{});
               }}}};
  return methods;
}

const Methods& list_methods() {
  using V = const Value&;
  using P = const Parameters&;
  static const Methods methods = {
      {"copy", {{}, [](Interpreter&, V self, P) { return self; }}},
      {"index",
       {{"value"},
        [](Interpreter& run, V self, P given) -> Value {
          run.charge(self);
          const auto& items = self.list()->items;
          const auto it = std::find_if(items.begin(), items.end(), [&](V item) { return equal(item, given.at(0)); });
          require(it != items.end(), ErrorKind::kInput, "index: the value is not in the list");
          return int64_t(it - items.begin());
        }}},
      {"count", {{"value"}, [](Interpreter& run, V self, P given) -> Value {
                   run.charge(self);
                   const auto& items = self.list()->items;
                   return int64_t(
                       std::count_if(items.begin(), items.end(), [&](V item) { return equal(item, given.at(0)); }));
                 }}}};
  return methods;
}

constexpr std::array kChanging = {"append", "extend",  "insert", "remove",     "pop",    "clear",
                                  "sort",   "reverse", "update", "setdefault", "popitem"};

// Python has these too; they change data, or are of no use to a template.
bool is_refused(const Value& object, const std::string& name) {
  if (object.text()) return name == "encode" || name == "format_map";
  return std::find(kChanging.begin(), kChanging.end(), name) != kChanging.end() &&
         (object.dict() || !object.list()->tuple);
}

}  // namespace

std::optional<Value> find_method(const Value& object, const std::string& name) {
  const Methods* methods = object.text()   ? &string_methods()
                           : object.dict() ? &dict_methods()
                           : object.list() ? &list_methods()
                                           : nullptr;
  if (!methods) return std::nullopt;
  if (is_refused(object, name))
    return std::make_shared<const Callable>(Callable{name, [name](Interpreter&, Arguments&) -> Value {
                                                       fail(ErrorKind::kUnsupported, "the method {} is not supported",
                                                            name);
                                                     }});
  if (object.text() && name == "format")
    return std::make_shared<const Callable>(
        Callable{name, [object](Interpreter& run, Arguments& given) { return format(run, *object.text(), given); }});
  const auto it = methods->find(name);
  if (it == methods->end()) return std::nullopt;
  auto call = [object, entry = &*it](Interpreter& run, Arguments& arguments) {
    run.charge(object.text() ? object.weight() : 0);
    return entry->second.call(run, object, Parameters(entry->first, arguments, entry->second.parameters));
  };
  return std::make_shared<const Callable>(Callable{name, std::move(call)});
}

Value loop_attribute(const Loop& loop, const std::string& name) {
  const auto size = int64_t(loop.items->size());
  if (name == "index0") return loop.index0;
  if (name == "index") return loop.index0 + 1;
  if (name == "revindex0") return size - loop.index0 - 1;
  if (name == "revindex") return size - loop.index0;
  if (name == "first") return loop.index0 == 0;
  if (name == "last") return loop.index0 == size - 1;
  if (name == "length") return size;
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem" && loop.index0 > 0) return (*loop.items)[size_t(loop.index0 - 1)];
  if (name == "nextitem" && loop.index0 + 1 < size) return (*loop.items)[size_t(loop.index0 + 1)];
  if (name != "cycle") return Value::undefined("loop." + name);
  return std::make_shared<const Callable>(Callable{name, [index = loop.index0](Interpreter&, Arguments& given) {
                                                     const auto& choices = given.positional;
                                                     require(!choices.empty(), ErrorKind::kInput,
                                                             "cycle: expected values, got none");
                                                     return choices[size_t(index) % choices.size()];
                                                   }});
}

}  // namespace tenth::jinja
