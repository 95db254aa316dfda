#include "grammar/json_schema.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"
#include "grammar/schema_case.h"

namespace tenth {
namespace {

constexpr size_t kMaxRules = 100'000;  // conjunctions of schemas

// How a value is written: as JSON; as JSON, and no string; a string as it is, and nothing else.
enum class Form { kJson, kJsonButText, kText };

// A rule for each conjunction of schemas that a value must satisfy, each built once: recursion becomes calls in a
// circle.
class Compiler {
 public:
  Compiler(const OrderedJson& schema, const std::string& where, bool ordered)
      : where_(where),
        ordered_(ordered),
        document_(schema, where),
        cases_(document_),
        builder_(where),
        text_(builder_) {}

  Network compile() { return finish(rule_of(cases_.conjunction({{&document_.root()}}))); }

  Network compile(const ParameterSyntax& syntax) {
    const CharDfa never = regex_dfa(syntax.never_in_text, where_);
    sayable_ = without(CharDfa::any_text(), never);
    const uint32_t root = builder_.add_rule("the parameters"), end = builder_.add_state();
    builder_.accept(end);
    for (const SchemaCase& c : cases_.of(cases_.conjunction({{&document_.root()}}))) {
      require(!c.values, ErrorKind::kUnsupported,
              "{}: an enum or const of whole objects is not supported for parameters that are no JSON", where_);
      if (c.types & kObject) parameters(builder_.start(root), c, syntax, end);
    }
    return finish(root);
  }

 private:
  struct Waiting {
    uint32_t rule;
    Terms terms;
    Form form;
  };

  Network finish(uint32_t root) {
    while (!waiting_.empty()) {
      const Waiting next = std::move(waiting_.back());
      waiting_.pop_back();
      value(next.rule, next.terms, next.form);
    }
    try {
      return builder_.finish(root);
    } catch (const Error& error) {
      if (cases_.narrowed().empty()) throw;
      fail(error.kind(), "{} (the \"not\" of {} cannot be said)", error.what(), cases_.narrowed()[0]);
    }
  }

  uint32_t rule_of(const Terms& terms, Form form = Form::kJson) {
    const auto known = rules_.find({terms, form});
    if (known != rules_.end()) return known->second;
    require(rules_.size() < kMaxRules, ErrorKind::kInput, "{}: the schema combines to too many parts: make it simpler",
            where_);
    const uint32_t rule =
        builder_.add_rule(terms.empty() ? "any value" : document_.place(*terms[0].schema).substr(where_.size() + 2));
    rules_.emplace(std::pair(terms, form), rule);
    waiting_.push_back({rule, terms, form});
    return rule;
  }

  void value(uint32_t rule, const Terms& terms, Form form) {
    const uint32_t start = builder_.start(rule), end = builder_.add_state();
    builder_.accept(end);
    for (const SchemaCase& c : cases_.of(terms)) {
      if (form == Form::kText) {
        plain_text(start, c, end);
        continue;
      }
      if (c.values) {
        values(start, *c.values, form, end);
        continue;
      }
      if (c.types & kNull) builder_.skip(builder_.text(start, "null"), end);
      if (c.types & kBoolean) {
        builder_.skip(builder_.text(start, "true"), end);
        builder_.skip(builder_.text(start, "false"), end);
      }
      if (c.types & (kInteger | kFraction)) number(start, c, terms, end);
      if ((c.types & kString) && form == Form::kJson) string(start, c, end);
      if (c.types & kArray) array(start, c, end);
      if (c.types & kObject) object(start, c, end);
    }
  }

  // The strings among them as one automaton.
  void values(uint32_t start, const std::vector<const OrderedJson*>& values, Form form, uint32_t end) {
    std::vector<std::string> texts;
    for (const OrderedJson* value : values) {
      if (value->is_string())
        texts.push_back(value->get<std::string>());
      else
        builder_.skip(text_.literal(start, *value, ordered_), end);
    }
    if (!texts.empty() && form == Form::kJson)
      builder_.skip(text_.text(start, text_.content(CharDfa::of_texts(texts))), end);
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

  // A string as it is.
  void plain_text(uint32_t start, const SchemaCase& c, uint32_t end) {
    const auto call = [&](uint32_t rule) { builder_.call(start, rule, end); };
    if (c.values) {
      const std::vector<std::string> texts = texts_of(*c.values);
      return call(builder_.dfa_rule(both(CharDfa::of_texts(texts), sayable_), Spelling::kPlain, "a text"));
    }
    if (!(c.types & kString)) return;
    if (const std::optional<CharDfa> dfa = cases_.text_dfa(c))
      return call(builder_.dfa_rule(both(*dfa, sayable_), Spelling::kPlain, "a text"));
    const auto [place, fresh] = plain_texts_.try_emplace({c.min_length, c.max_length}, 0);
    if (fresh)
      place->second =
          builder_.counted_rule(sayable_, bounded(c.min_length), bounded(c.max_length), Spelling::kPlain, "a text");
    call(place->second);
  }

  static uint32_t bounded(uint64_t n) { return n >= kUnlimited ? kUnlimited : uint32_t(n); }
  static std::vector<std::string> texts_of(const std::vector<const OrderedJson*>& values) {
    std::vector<std::string> texts;
    for (const OrderedJson* value : values)
      if (value->is_string()) texts.push_back(value->get<std::string>());
    return texts;
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

  struct Member {
    std::optional<std::string> name;  // none: any key of keys
    std::optional<CharDfa> keys;      // none: every text
    Terms terms;
    bool required = false;
  };
  struct Members {
    std::vector<Member> declared, further;
    uint32_t least = 0, most = kUnlimited;
  };

  void object(uint32_t start, const SchemaCase& c, uint32_t end) {
    const std::optional<Members> members = members_of(c);
    if (!members) return;
    const ObjectPlan plan = plan_of(*members, [&](const Member& m) {
      const uint32_t key = m.name ? key_rule(*m.name) : m.keys ? text_.content(*m.keys) : free_text(0, UINT64_MAX);
      return text_.member(key, rule_of(m.terms));
    });
    builder_.skip(text_.object(start, plan), end);
  }

  void parameters(uint32_t start, const SchemaCase& c, const ParameterSyntax& syntax, uint32_t end) {
    const std::optional<Members> members = members_of(c);
    if (!members) return;
    const CharDfa sayable_names = regex_dfa("^[^<>\"\r\n]*$", where_);
    const ObjectPlan plan = plan_of(*members, [&](const Member& m) {
      const uint32_t rule = builder_.add_rule("a parameter"), last = builder_.add_state();
      builder_.accept(last);
      uint32_t at = builder_.text(builder_.start(rule), syntax.before_name);
      if (m.name) {
        require(sayable_names.matches(*m.name), ErrorKind::kUnsupported,
                "{}: a parameter named \"{}\": < > \" and line ends are not supported in names", where_, *m.name);
        at = builder_.text(at, *m.name);
      } else {
        const uint32_t named = builder_.add_state();
        const CharDfa keys = m.keys ? both(*m.keys, sayable_names) : sayable_names;
        builder_.call(at, builder_.dfa_rule(keys, Spelling::kPlain, "a name"), named);
        at = named;
      }
      for (const auto& [before, form] :
           {std::pair(&syntax.before_text, Form::kText), std::pair(&syntax.before_json, Form::kJsonButText)}) {
        const uint32_t behind = builder_.add_state();
        builder_.call(builder_.text(at, *before), rule_of(m.terms, form), behind);
        builder_.skip(builder_.text(behind, syntax.after), last);
      }
      return rule;
    });
    builder_.skip(builder_.text(builder_.members(start, plan, syntax.between), syntax.last), end);
  }

  template <class RuleOf>
  ObjectPlan plan_of(const Members& members, const RuleOf& rule_of_member) {
    ObjectPlan plan;
    plan.declared = uint32_t(members.declared.size());
    plan.min = members.least;
    plan.max = members.most;
    plan.ordered = ordered_;
    for (const Member& member : members.declared) {
      plan.members.push_back(rule_of_member(member));
      plan.required.push_back(member.required);
    }
    for (const Member& member : members.further) plan.members.push_back(rule_of_member(member));
    return plan;
  }

  // None: there is no such object.
  std::optional<Members> members_of(const SchemaCase& c) {
    const std::optional<CharDfa> keys = key_dfa(c);
    Members y;
    std::vector<std::string> names = SchemaCases::declared_names(c);
    for (const std::string& name : names) {
      const bool required = std::find(c.required.begin(), c.required.end(), name) != c.required.end();
      const Terms terms = cases_.member_terms(c, name);
      if (c.forbidden.contains(name) || (keys && !keys->matches(name)) || never(terms)) {
        if (required) return std::nullopt;
        continue;
      }
      y.declared.push_back({name, std::nullopt, terms, required});
    }
    names.insert(names.end(), c.forbidden.begin(), c.forbidden.end());
    further_members(c, names, keys, y.further);
    const uint64_t needed =
        uint64_t(std::count_if(y.declared.begin(), y.declared.end(), [](const Member& m) { return m.required; }));
    const uint64_t least = c.min_members > needed ? c.min_members : 0;
    require(least <= 1 || y.further.empty(), ErrorKind::kUnsupported,
            "{}: minProperties {} is not supported beside members that are not declared", where_, least);
    if (needed > c.max_members || (y.further.empty() && least > y.declared.size())) return std::nullopt;
    y.least = uint32_t(least);
    y.most = bounded(c.max_members);
    return y;
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
      if (name.values) {
        keys = either(keys, CharDfa::of_texts(texts_of(*name.values)));
      } else {
        const std::optional<CharDfa> dfa = cases_.text_dfa(name);
        keys = either(keys, dfa ? *dfa : CharDfa::of_lengths(name.min_length, name.max_length));
      }
    }
    return keys;
  }

  // Keys that no name declares, split by which patterns they match: each group has its own constraints.
  void further_members(const SchemaCase& c, const std::vector<std::string>& names, const std::optional<CharDfa>& keys,
                       std::vector<Member>& members) {
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
      members.push_back({std::nullopt, group.keys, terms});
    }
  }

  const std::string& where_;
  const bool ordered_;
  SchemaDocument document_;
  SchemaCases cases_;
  NetworkBuilder builder_;
  JsonText text_;
  std::map<std::pair<Terms, Form>, uint32_t> rules_;
  std::vector<Waiting> waiting_;
  std::optional<uint32_t> numbers_[3];
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> free_texts_, plain_texts_;
  CharDfa sayable_;  // texts that may stand as they are
  std::map<std::string, uint32_t> key_rules_;
};

}  // namespace

Network json_schema_network(const OrderedJson& schema, const std::string& where, bool members_as_listed) {
  require(schema.is_object() || schema.is_boolean(), ErrorKind::kInput,
          "{}: expected a JSON Schema: an object, true or false", where);
  return Compiler(schema, where, members_as_listed).compile();
}

Network parameters_network(const OrderedJson& schema, const std::string& where, bool members_as_listed,
                           const ParameterSyntax& syntax) {
  require(schema.is_object() || schema.is_boolean(), ErrorKind::kInput,
          "{}: expected a JSON Schema: an object, true or false", where);
  return Compiler(schema, where, members_as_listed).compile(syntax);
}

}  // namespace tenth
