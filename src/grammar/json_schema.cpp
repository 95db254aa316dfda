#include "grammar/json_schema.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "grammar/json_text.h"
#include "grammar/schema_case.h"

namespace tenth {
namespace {

constexpr size_t kMaxRules = 100'000;  // conjunctions of schemas

// A rule for each conjunction of schemas that a value must satisfy, each built once: recursion becomes calls in a
// circle.
class Compiler {
 public:
  Compiler(const OrderedJson& schema, const std::string& where, bool ordered)
      : where_(where), document_(schema, where), cases_(document_), builder_(where), text_(builder_, ordered) {}

  Network compile() {
    const uint32_t root = rule_of(cases_.conjunction({{&document_.root()}}));
    while (!waiting_.empty()) {
      const Waiting next = std::move(waiting_.back());
      waiting_.pop_back();
      value(next.rule, next.terms);
    }
    try {
      return builder_.finish(root);
    } catch (const Error& error) {
      if (cases_.narrowed().empty()) throw;
      fail(error.kind(), "{} (the \"not\" of {} cannot be said)", error.what(), cases_.narrowed()[0]);
    }
  }

 private:
  struct Waiting {
    uint32_t rule;
    Terms terms;
  };

  uint32_t rule_of(const Terms& terms) {
    const auto known = rules_.find(terms);
    if (known != rules_.end()) return known->second;
    require(rules_.size() < kMaxRules, ErrorKind::kInput, "{}: the schema combines to too many parts: make it simpler",
            where_);
    const uint32_t rule =
        builder_.add_rule(terms.empty() ? "any value" : document_.place(*terms[0].schema).substr(where_.size() + 2));
    rules_.emplace(terms, rule);
    waiting_.push_back({rule, terms});
    return rule;
  }

  void value(uint32_t rule, const Terms& terms) {
    const uint32_t start = builder_.start(rule), end = builder_.add_state();
    builder_.accept(end);
    for (const SchemaCase& c : cases_.of(terms)) {
      if (c.values) {
        values(start, *c.values, end);
        continue;
      }
      if (c.types & kNull) builder_.skip(builder_.text(start, "null"), end);
      if (c.types & kBoolean) {
        builder_.skip(builder_.text(start, "true"), end);
        builder_.skip(builder_.text(start, "false"), end);
      }
      if (c.types & (kInteger | kFraction)) number(start, c, terms, end);
      if (c.types & kString) string(start, c, end);
      if (c.types & kArray) array(start, c, end);
      if (c.types & kObject) object(start, c, end);
    }
  }

  // The strings among them as one automaton.
  void values(uint32_t start, const std::vector<const OrderedJson*>& values, uint32_t end) {
    std::vector<std::string> texts;
    for (const OrderedJson* value : values) {
      if (value->is_string())
        texts.push_back(value->get<std::string>());
      else
        builder_.skip(text_.literal(start, *value), end);
    }
    if (!texts.empty()) builder_.skip(text_.text(start, text_.content(CharDfa::of_texts(texts))), end);
  }

  void number(uint32_t start, const SchemaCase& c, const Terms& terms, uint32_t end) {
    const uint32_t types = c.types & (kInteger | kFraction);
    const NumberKind kind = types == kInteger    ? NumberKind::kWhole
                            : types == kFraction ? NumberKind::kFractionsOnly
                                                 : NumberKind::kAny;
    const std::string place = terms.empty() ? where_ : document_.place(*terms[0].schema);
    auto call = [&](uint32_t rule) { builder_.call(start, rule, end); };
    NumberLimits limits = c.number;
    for (const OrderedJson* value : c.excluded)
      if (value->is_number()) limits.excluded.push_back(value->get<double>());
    if (!limits.unbounded())
      return call(builder_.dfa_rule(number_dfa(limits, kind, place), Spelling::kPlain, "a number"));
    std::optional<uint32_t>& rule = numbers_[size_t(kind)];
    if (!rule) rule = builder_.dfa_rule(number_dfa({}, kind, place), Spelling::kPlain, "a number");
    call(*rule);
  }

  void string(uint32_t start, const SchemaCase& c, uint32_t end) {
    const std::optional<CharDfa> dfa = cases_.text_dfa(c);
    builder_.skip(text_.text(start, dfa ? text_.content(*dfa) : free_text(c.min_length, c.max_length)), end);
  }

  uint32_t free_text(uint64_t min, uint64_t max) {
    const auto [place, fresh] = free_texts_.try_emplace({min, max}, 0);
    if (fresh) place->second = text_.free_text(min, max);
    return place->second;
  }

  void array(uint32_t start, const SchemaCase& c, uint32_t end) {
    std::vector<uint32_t> prefix;
    const size_t fixed = cases_.prefix_length(c);
    for (size_t i = 0; i < fixed && i < c.max_items; i++) prefix.push_back(rule_of(cases_.item_terms(c, i)));
    std::optional<uint32_t> rest;
    if (fixed < c.max_items) rest = rule_of(cases_.item_terms(c, fixed));
    builder_.skip(text_.array(start, prefix, rest, c.min_items, c.max_items), end);
  }

  bool never(const Terms& terms) { return cases_.of(terms).empty(); }

  void object(uint32_t start, const SchemaCase& c, uint32_t end) {
    const std::optional<CharDfa> keys = key_dfa(c);
    std::vector<JsonText::Member> declared, further;
    std::vector<std::string> names = SchemaCases::declared_names(c);
    for (const std::string& name : names) {
      const bool required = std::find(c.required.begin(), c.required.end(), name) != c.required.end();
      const Terms terms = cases_.member_terms(c, name);
      if (c.forbidden.contains(name) || (keys && !keys->matches(name)) || never(terms)) {
        if (required) return;  // no such object
        continue;
      }
      declared.push_back({key_rule(name), rule_of(terms), required});
    }
    names.insert(names.end(), c.forbidden.begin(), c.forbidden.end());
    further_members(c, names, keys, further);
    const uint64_t needed =
        uint64_t(std::count_if(declared.begin(), declared.end(), [](const auto& m) { return m.required; }));
    const uint64_t least = c.min_members > needed ? c.min_members : 0;
    require(least <= 1 || further.empty(), ErrorKind::kUnsupported,
            "{}: minProperties {} is not supported beside members that are not declared", where_, least);
    if (needed > c.max_members || (further.empty() && least > declared.size())) return;
    builder_.skip(text_.object(start, declared, further, uint32_t(least),
                               c.max_members > kUnlimited ? kUnlimited : uint32_t(c.max_members)),
                  end);
  }

  uint32_t key_rule(const std::string& name) {
    const auto [place, fresh] = key_rules_.try_emplace(name, 0);
    const std::string one[] = {name};
    if (fresh) place->second = text_.content(CharDfa::of_texts(one));
    return place->second;
  }

  // What propertyNames allows; nothing where it is not given.
  std::optional<CharDfa> key_dfa(const SchemaCase& c) {
    if (c.names.empty()) return std::nullopt;
    CharDfa keys{{CharDfa::State{}}};
    for (const SchemaCase& name : cases_.of(cases_.conjunction(c.names))) {
      if (!(name.types & kString)) continue;
      std::vector<std::string> texts;
      for (const OrderedJson* value : name.values.value_or(std::vector<const OrderedJson*>{}))
        if (value->is_string()) texts.push_back(value->get<std::string>());
      if (name.values) {
        keys = either(keys, CharDfa::of_texts(texts));
      } else {
        const std::optional<CharDfa> dfa = cases_.text_dfa(name);
        keys = either(keys, dfa ? *dfa : CharDfa::of_lengths(name.min_length, name.max_length));
      }
    }
    return keys;
  }

  // Keys that no name declares, split by which patterns they match: each group has its own constraints.
  void further_members(const SchemaCase& c, const std::vector<std::string>& names, const std::optional<CharDfa>& keys,
                       std::vector<JsonText::Member>& members) {
    struct Group {
      std::optional<CharDfa> keys;  // none: every text
      Terms terms;
      std::set<const OrderedJson*> matched;  // patternProperties with a pattern that matches
    };
    std::vector<Group> groups(1);
    groups[0].keys = keys;
    if (!names.empty()) groups[0].keys = without(keys ? *keys : CharDfa::any_text(), CharDfa::of_texts(names));
    for (const SchemaCase::ObjectPart& part : c.objects) {
      if (!part.patterns) continue;
      for (const auto& [pattern, schema] : part.patterns->items()) {
        const CharDfa& dfa = document_.pattern_dfa(pattern, *part.patterns);
        std::vector<Group> split;
        for (const Group& group : groups) {
          const CharDfa all = group.keys ? *group.keys : CharDfa::any_text();
          Group in = group, out = group;
          in.keys = both(all, dfa);
          in.terms.push_back({&schema});
          in.matched.insert(part.patterns);
          out.keys = without(all, dfa);
          if (!in.keys->empty()) split.push_back(std::move(in));
          if (!out.keys->empty()) split.push_back(std::move(out));
        }
        groups = std::move(split);
        require(groups.size() <= 256, ErrorKind::kInput, "{}: too many combinations of patternProperties", where_);
      }
    }
    for (Group& group : groups) {
      for (const SchemaCase::ObjectPart& part : c.objects)
        if (part.additional && !group.matched.contains(part.patterns)) group.terms.push_back({part.additional});
      const Terms terms = cases_.conjunction(group.terms);
      if ((group.keys && group.keys->empty()) || never(terms)) continue;
      const uint32_t rule = group.keys ? text_.content(*group.keys) : free_text(0, UINT64_MAX);
      members.push_back({rule, rule_of(terms)});
    }
  }

  const std::string& where_;
  SchemaDocument document_;
  SchemaCases cases_;
  NetworkBuilder builder_;
  JsonText text_;
  std::map<Terms, uint32_t> rules_;
  std::vector<Waiting> waiting_;
  std::optional<uint32_t> numbers_[3];
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> free_texts_;
  std::map<std::string, uint32_t> key_rules_;
};

}  // namespace

Network json_schema_network(const OrderedJson& schema, const std::string& where, bool members_as_listed) {
  require(schema.is_object() || schema.is_boolean(), ErrorKind::kInput,
          "{}: expected a JSON Schema: an object, true or false", where);
  return Compiler(schema, where, members_as_listed).compile();
}

}  // namespace tenth
