#include "grammar/json_text.h"

#include <algorithm>

#include "base/error.h"

namespace tenth {
namespace {

constexpr uint32_t kIndent = 32;

uint32_t bounded(uint64_t n) { return n >= kUnlimited ? kUnlimited : uint32_t(n); }

}  // namespace

uint32_t JsonText::blank(uint32_t from) {
  if (!blank_) {
    const CharRange indent[] = {{'\t', '\t'}, {' ', ' '}};
    const uint32_t indents = builder_.counted_rule(indent, 0, kIndent, Spelling::kPlain, "white space");
    blank_ = builder_.add_rule("white space");
    const uint32_t start = builder_.start(*blank_), end = builder_.add_state(), line = builder_.add_state(),
                   carriage = builder_.add_state();
    builder_.accept(start);
    builder_.accept(end);
    builder_.edge(start, ' ', ' ', end);
    builder_.edge(start, '\r', '\r', carriage);
    builder_.edge(start, '\n', '\n', line);
    builder_.edge(carriage, '\n', '\n', line);
    builder_.call(line, indents, end);
  }
  const uint32_t to = builder_.add_state();
  builder_.call(from, *blank_, to);
  return to;
}

uint32_t JsonText::text(uint32_t from, uint32_t content_rule) {
  const uint32_t inside = builder_.text(from, "\""), end = builder_.add_state();
  builder_.call(inside, content_rule, end);
  return builder_.text(end, "\"");
}

uint32_t JsonText::free_text(uint64_t min, uint64_t max) {
  return builder_.counted_rule(kAllChars, bounded(min), bounded(max), Spelling::kQuoted, "a string");
}

uint32_t JsonText::literal(uint32_t from, const OrderedJson& value, bool ordered) {
  if (value.is_string()) {
    const std::string one[] = {value.get<std::string>()};
    return text(from, content(CharDfa::of_texts(one)));
  }
  auto rule_of = [&](const OrderedJson& part) {
    const uint32_t rule = builder_.add_rule("a value");
    builder_.accept(literal(builder_.start(rule), part, ordered));
    return rule;
  };
  if (value.is_array()) {
    std::vector<uint32_t> items;
    for (const OrderedJson& item : value) items.push_back(rule_of(item));
    return array(from, items, std::nullopt, items.size(), items.size());
  }
  if (value.is_object()) {
    ObjectPlan plan;
    plan.ordered = ordered;
    for (const auto& [key, part] : value.items()) {
      const std::string one[] = {key};
      plan.members.push_back(member(content(CharDfa::of_texts(one)), rule_of(part)));
    }
    plan.declared = uint32_t(plan.members.size());
    plan.required.assign(plan.declared, true);
    return object(from, std::move(plan));
  }
  return builder_.text(from, value.dump());
}

uint32_t JsonText::member(uint32_t key_rule, uint32_t value_rule) {
  const uint32_t rule = builder_.add_rule("a member");
  const uint32_t colon = builder_.text(blank(text(builder_.start(rule), key_rule)), ":");
  const uint32_t value = blank(colon), end = builder_.add_state();
  builder_.call(value, value_rule, end);
  builder_.accept(end);
  return rule;
}

uint32_t JsonText::object(uint32_t from, ObjectPlan plan) {
  const uint32_t open = blank(builder_.text(from, "{"));
  plan.close = builder_.add_state();
  const uint32_t end = builder_.text(blank(plan.close), "}");
  plan.comma = builder_.add_state();
  const uint32_t behind_comma = blank(builder_.text(blank(plan.comma), ","));
  uint32_t next = 0;
  builder_.skip(open, builder_.object_state(std::move(plan), next));
  builder_.skip(behind_comma, next);
  return end;
}

uint32_t JsonText::array(uint32_t from, std::span<const uint32_t> prefix, std::optional<uint32_t> rest, uint64_t min,
                         uint64_t max) {
  const uint32_t close = builder_.add_state();
  uint32_t at = blank(builder_.text(from, "["));
  if (min == 0) builder_.skip(at, close);
  auto item = [&](uint32_t state, uint32_t rule) {
    const uint32_t to = builder_.add_state();
    builder_.call(state, rule, to);
    return to;
  };
  size_t n = 0;
  for (; n < prefix.size() && n < max; n++) {
    if (n > 0) at = blank(builder_.text(blank(at), ","));
    at = item(at, prefix[n]);
    if (n + 1 >= min) builder_.skip(at, close);
  }
  if (rest && n < max) {
    if (n == 0) {
      at = item(at, *rest);
      if (min <= 1) builder_.skip(at, close);
      n = 1;
    }
    const uint32_t more = builder_.add_rule("an item");
    builder_.accept(item(blank(builder_.text(blank(builder_.start(more)), ",")), *rest));
    const uint64_t least = min > n ? min - n : 0;
    const uint32_t all =
        builder_.repeat_rule(more, bounded(least), max == UINT64_MAX ? kUnlimited : bounded(max - n), "items");
    builder_.skip(item(at, all), close);
  }
  return builder_.text(blank(close), "]");
}

}  // namespace tenth
