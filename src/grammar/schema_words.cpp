// SchemaCases: what each word of a schema says (say), and what its "not" says (deny).
#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "grammar/schema_case.h"
#include "grammar/string_formats.h"

namespace tenth {
namespace {

constexpr int kMaxRefs = 32;  // in a row, without a value between

const OrderedJson* word(const OrderedJson& schema, const char* key) {
  const auto at = schema.find(key);
  return at == schema.end() ? nullptr : &*at;
}

uint32_t types_named(const std::string& name) {
  if (name == "null") return kNull;
  if (name == "boolean") return kBoolean;
  if (name == "integer") return kInteger;
  if (name == "number") return kInteger | kFraction;
  if (name == "string") return kString;
  if (name == "array") return kArray;
  return name == "object" ? kObject : 0u;
}

}  // namespace

SchemaCases::Pending SchemaCases::follow(const OrderedJson& schema, const Pending& pending) const {
  const OrderedJson& target = document_.resolve(schema);
  const int length = pending.chain ? pending.chain->length + 1 : 1;
  require(length <= kMaxRefs, ErrorKind::kInput, "{}: expected at most {} $ref in a row",
          document_.place(schema, "$ref"), kMaxRefs);
  for (const Chain* at = pending.chain.get(); at; at = at->before.get())
    require(at->target != &target, ErrorKind::kInput, "{}: the $ref leads back to itself with no value between",
            document_.place(schema, "$ref"));
  return {{&target, pending.term.negated}, std::make_shared<const Chain>(Chain{&target, pending.chain, length})};
}

void SchemaCases::say(const Pending& pending, State& state) {
  const OrderedJson& schema = *pending.term.schema;
  SchemaCase more;
  if (schema.is_boolean()) {
    if (!schema.get<bool>()) state.so_far.types = 0;
    return;
  }
  require(schema.is_object(), ErrorKind::kInput, "{}: expected a schema: an object, true or false",
          document_.place(schema));
  say_values(schema, more);
  say_number(schema, more);
  say_string(schema, more);
  say_array(schema, more);
  state.so_far.merge(more);
  say_object(schema, pending, state);
  say_combined(schema, pending, state);
}

void SchemaCases::say_values(const OrderedJson& schema, SchemaCase& c) {
  if (const OrderedJson* type = word(schema, "type")) {
    c.types = 0;
    auto add = [&](const OrderedJson& name) {
      const uint32_t types = name.is_string() ? types_named(name) : 0;
      require(types != 0, ErrorKind::kInput,
              "{}: expected null, boolean, integer, number, string, array or object, got {}",
              document_.place(schema, "type"), printable(name.dump()));
      c.types |= types;
    };
    if (type->is_array())
      std::for_each(type->begin(), type->end(), add);
    else
      add(*type);
  }
  auto keep = [&](SchemaCase only) { c.merge(only); };
  if (const OrderedJson* list = word(schema, "enum")) {
    require(list->is_array(), ErrorKind::kInput, "{}: expected a list", document_.place(schema, "enum"));
    SchemaCase only;
    only.values.emplace();
    for (const OrderedJson& value : *list) only.values->push_back(&value);
    keep(std::move(only));
  }
  if (const OrderedJson* value = word(schema, "const")) {
    SchemaCase only;
    only.values.emplace().push_back(value);
    keep(std::move(only));
  }
}

void SchemaCases::say_number(const OrderedJson& schema, SchemaCase& c) {
  auto number = [&](const char* key) -> const OrderedJson* {
    const OrderedJson* at = word(schema, key);
    require(!at || at->is_number() || (at->is_boolean() && key[0] == 'e'), ErrorKind::kInput, "{}: expected a number",
            document_.place(schema, key));
    return at;
  };
  auto bound = [&](const char* key, const char* exclusive, bool least) {
    const OrderedJson *at = number(key), *strict = number(exclusive);
    SchemaCase more;
    std::optional<NumberLimits::Bound>& place = least ? more.number.least : more.number.most;
    if (at) {
      place = NumberLimits::Bound{at->get<double>(), strict && strict->is_boolean() && strict->get<bool>()};
      c.merge(more);
    }
    if (strict && strict->is_number()) {
      place = NumberLimits::Bound{strict->get<double>(), true};
      c.merge(more);
    }
  };
  bound("minimum", "exclusiveMinimum", true);
  bound("maximum", "exclusiveMaximum", false);
  if (const OrderedJson* step = number("multipleOf")) {
    require(step->get<double>() > 0, ErrorKind::kInput, "{}: expected more than 0",
            document_.place(schema, "multipleOf"));
    c.number.steps.push_back(step->get<double>());
  }
}

void SchemaCases::say_string(const OrderedJson& schema, SchemaCase& c) {
  c.min_length = size_of(schema, "minLength", 0);
  c.max_length = size_of(schema, "maxLength", UINT64_MAX);
  if (const OrderedJson* pattern = word(schema, "pattern")) {
    require(pattern->is_string(), ErrorKind::kInput, "{}: expected a text", document_.place(schema, "pattern"));
    c.patterns.push_back({&document_.pattern_dfa(*pattern, *pattern), false});
  }
  if (const OrderedJson* format = word(schema, "format"); format && format->is_string()) {
    const std::string& name = format->get_ref<const std::string&>();
    if (format_unsupported(name))
      c.unsupported.push_back({kString, document_.place(schema, "format"), "format " + name});
    if (const CharDfa* dfa = document_.format_dfa(name, *format)) c.patterns.push_back({dfa, false});
  }
  if (c.min_length > c.max_length) c.types &= ~kString;
}

void SchemaCases::say_array(const OrderedJson& schema, SchemaCase& c) {
  SchemaCase::ArrayPart part;
  const OrderedJson *items = word(schema, "items"), *prefix = word(schema, "prefixItems");
  part.prefix = prefix;
  part.rest = items;
  if (items && items->is_array()) {  // drafts 4 to 2019-09
    part.prefix = items;
    part.rest = word(schema, "additionalItems");
  }
  require(!part.prefix || part.prefix->is_array(), ErrorKind::kInput, "{}: expected a list of schemas",
          document_.place(schema, "prefixItems"));
  if (part.prefix || part.rest) c.arrays.push_back(part);
  c.min_items = size_of(schema, "minItems", 0);
  c.max_items = size_of(schema, "maxItems", UINT64_MAX);
  if (c.min_items > c.max_items) c.types &= ~kArray;
  const OrderedJson* unique = word(schema, "uniqueItems");
  if (unique && unique->is_boolean() && unique->get<bool>())
    c.unsupported.push_back({kArray, document_.place(schema, "uniqueItems"), "uniqueItems"});
  for (const char* key : {"contains", "unevaluatedItems"})
    if (word(schema, key)) c.unsupported.push_back({kArray, document_.place(schema, key), key});
}

void SchemaCases::say_object(const OrderedJson& schema, const Pending& pending, State& state) {
  SchemaCase c;
  SchemaCase::ObjectPart part{word(schema, "properties"), word(schema, "patternProperties"),
                              word(schema, "additionalProperties")};
  require(!part.properties || part.properties->is_object(), ErrorKind::kInput, "{}: expected an object",
          document_.place(schema, "properties"));
  require(!part.patterns || part.patterns->is_object(), ErrorKind::kInput, "{}: expected an object",
          document_.place(schema, "patternProperties"));
  if (part.properties || part.patterns || part.additional) c.objects.push_back(part);
  if (const OrderedJson* names = word(schema, "propertyNames")) c.names.push_back({names});
  if (const OrderedJson* required = word(schema, "required"); required && !required->is_boolean()) {
    require(required->is_array(), ErrorKind::kInput, "{}: expected a list of names",
            document_.place(schema, "required"));
    for (const OrderedJson& name : *required) {
      require(name.is_string(), ErrorKind::kInput, "{}: expected a list of names", document_.place(schema, "required"));
      c.required.push_back(name);
    }
  }
  c.min_members = size_of(schema, "minProperties", 0);
  c.max_members = size_of(schema, "maxProperties", UINT64_MAX);
  if (word(schema, "unevaluatedProperties"))
    c.unsupported.push_back({kObject, document_.place(schema, "unevaluatedProperties"), "unevaluatedProperties"});
  state.so_far.merge(c);
  for (const char* key : {"dependencies", "dependentRequired", "dependentSchemas"}) {
    const OrderedJson* rules = word(schema, key);
    if (!rules) continue;
    require(rules->is_object(), ErrorKind::kInput, "{}: expected an object", document_.place(schema, key));
    for (const auto& [name, rule] : rules->items()) {
      Alternative without, with, other;
      without.more.types = with.more.types = kObject;
      other.more.types = kAllTypes & ~kObject;
      without.more.forbidden.insert(name);
      with.more.required.push_back(name);
      if (rule.is_array()) {
        for (const OrderedJson& needed : rule)
          if (needed.is_string()) with.more.required.push_back(needed);
      } else {
        with.terms.push_back({{&rule}, pending.chain});
      }
      state.choices.push_back({without, with, other});
    }
  }
}

void SchemaCases::say_combined(const OrderedJson& schema, const Pending& pending, State& state) {
  auto list = [&](const char* key) {
    const OrderedJson* at = word(schema, key);
    require(!at || (at->is_array() && !at->empty()), ErrorKind::kInput, "{}: expected a list of schemas",
            document_.place(schema, key));
    return at;
  };
  if (schema.contains("$ref")) state.pending.push_back(follow(schema, pending));
  for (const char* key : {"$dynamicRef", "$recursiveRef"})
    require(!schema.contains(key), ErrorKind::kUnsupported, "{}: {} is not supported", document_.place(schema, key),
            key);
  if (const OrderedJson* part = word(schema, "not")) state.pending.push_back({{part, true}, pending.chain});
  if (const OrderedJson* parts = list("allOf"))
    for (const OrderedJson& part : *parts) state.pending.push_back({{&part}, pending.chain});
  if (const OrderedJson* parts = list("anyOf")) {
    Choice choice;
    for (const OrderedJson& part : *parts) choice.push_back({{}, {{{&part}, pending.chain}}});
    state.choices.push_back(std::move(choice));
  }
  if (const OrderedJson* parts = list("oneOf")) say_one_of(*parts, pending, state);
  const OrderedJson *condition = word(schema, "if"), *then = word(schema, "then"), *otherwise = word(schema, "else");
  if (condition && (then || otherwise)) {
    Alternative yes{{}, {{{condition}, pending.chain}}}, no{{}, {{{condition, true}, pending.chain}}};
    if (then) yes.terms.push_back({{then}, pending.chain});
    if (otherwise) no.terms.push_back({{otherwise}, pending.chain});
    state.choices.push_back({yes, no});
  }
}

// One branch, and none of those that it might share a value with.
void SchemaCases::say_one_of(const OrderedJson& list, const Pending& pending, State& state) {
  Choice choice;
  for (const OrderedJson& part : list) {
    Alternative branch{{}, {{{&part}, pending.chain}}};
    for (const OrderedJson& other : list)
      if (&other != &part && !disjoint({&part}, {&other})) branch.terms.push_back({{&other, true}, pending.chain});
    choice.push_back(std::move(branch));
  }
  state.choices.push_back(std::move(choice));
}

// The "not" of a word that cannot be said: an alternative that only a list of values can use.
void SchemaCases::narrow(const OrderedJson& schema, const char* key, Choice& choice) {
  choice.emplace_back().more.unsaid = true;
  narrowed_.push_back(document_.place(schema, key));
}

SchemaCases::Choice SchemaCases::deny(const Pending& pending) {
  const OrderedJson& schema = *pending.term.schema;
  Choice choice;
  if (schema.is_boolean()) {
    if (!schema.get<bool>()) choice.emplace_back();
    return choice;
  }
  require(schema.is_object(), ErrorKind::kInput, "{}: expected a schema: an object, true or false",
          document_.place(schema));
  deny_values(schema, choice);
  deny_bounds(schema, choice);
  deny_members(schema, choice);
  deny_combined(schema, pending, choice);
  for (const char* key :
       {"multipleOf", "items", "prefixItems", "additionalItems", "uniqueItems", "contains", "patternProperties",
        "propertyNames", "unevaluatedItems", "unevaluatedProperties", "dependentSchemas"})
    if (schema.contains(key)) narrow(schema, key, choice);
  return choice;
}

void SchemaCases::deny_values(const OrderedJson& schema, Choice& choice) {
  SchemaCase said;
  say_values(schema, said);
  if (said.types != kAllTypes) choice.emplace_back().more.types = kAllTypes & ~said.types;
  for (const char* key : {"enum", "const"}) {
    const OrderedJson* at = word(schema, key);
    if (!at) continue;
    Alternative other;
    std::set<bool> booleans;
    auto exclude = [&](const OrderedJson& value) {
      if (value.is_boolean()) booleans.insert(value.get<bool>());
      other.more.excluded.push_back(&value);
    };
    if (key[0] == 'e')
      std::for_each(at->begin(), at->end(), exclude);
    else
      exclude(*at);
    static const OrderedJson kTrue = true, kFalse = false;
    if (booleans.size() == 1) {  // the other one, as a value of its own
      Alternative rest;
      rest.more.values.emplace().push_back(booleans.contains(true) ? &kFalse : &kTrue);
      choice.push_back(std::move(rest));
    }
    if (!booleans.empty()) other.more.types &= ~kBoolean;
    choice.push_back(std::move(other));
  }
}

void SchemaCases::deny_bounds(const OrderedJson& schema, Choice& choice) {
  SchemaCase said;
  say_number(schema, said);
  if (said.number.least) {
    Alternative& below = choice.emplace_back();
    below.more.types = kInteger | kFraction;
    below.more.number.most = NumberLimits::Bound{said.number.least->value, !said.number.least->exclusive};
  }
  if (said.number.most) {
    Alternative& above = choice.emplace_back();
    above.more.types = kInteger | kFraction;
    above.more.number.least = NumberLimits::Bound{said.number.most->value, !said.number.most->exclusive};
  }
  SchemaCase text;
  say_string(schema, text);
  for (const SchemaCase::Pattern& pattern : text.patterns) {
    Alternative& other = choice.emplace_back();
    other.more.types = kString;
    other.more.patterns.push_back({pattern.dfa, true});
  }
  auto sizes = [&](const char* least, const char* most, uint32_t type, uint64_t SchemaCase::*min,
                   uint64_t SchemaCase::*max) {
    const uint64_t low = size_of(schema, least, 0), high = size_of(schema, most, UINT64_MAX);
    if (low > 0) {
      Alternative& fewer = choice.emplace_back();
      fewer.more.types = type;
      fewer.more.*max = low - 1;
    }
    if (high != UINT64_MAX) {
      Alternative& more = choice.emplace_back();
      more.more.types = type;
      more.more.*min = high + 1;
    }
  };
  sizes("minLength", "maxLength", kString, &SchemaCase::min_length, &SchemaCase::max_length);
  sizes("minItems", "maxItems", kArray, &SchemaCase::min_items, &SchemaCase::max_items);
  sizes("minProperties", "maxProperties", kObject, &SchemaCase::min_members, &SchemaCase::max_members);
}

void SchemaCases::deny_members(const OrderedJson& schema, Choice& choice) {
  if (const OrderedJson* required = word(schema, "required"); required && required->is_array())
    for (const OrderedJson& name : *required) {
      Alternative& without = choice.emplace_back();
      without.more.types = kObject;
      without.more.forbidden.insert(name.get<std::string>());
    }
  if (const OrderedJson* properties = word(schema, "properties"); properties && properties->is_object())
    for (const auto& [name, member] : properties->items()) {
      Alternative& other = choice.emplace_back();
      other.more.types = kObject;
      other.more.required.push_back(name);
      other.more.members.push_back({name, {&member, true}});
    }
  for (const char* key : {"dependencies", "dependentRequired"})
    if (const OrderedJson* rules = word(schema, key); rules && rules->is_object())
      for (const auto& [name, needed] : rules->items())
        for (const OrderedJson& need : needed.is_array() ? needed : OrderedJson::array()) {
          Alternative& other = choice.emplace_back();
          other.more.types = kObject;
          other.more.required.push_back(name);
          other.more.forbidden.insert(need.get<std::string>());
        }
  if (const OrderedJson* additional = word(schema, "additionalProperties")) {
    const bool closed = additional->is_boolean() && !additional->get<bool>() && !schema.contains("patternProperties");
    if (!closed) return narrow(schema, "additionalProperties", choice);
    Alternative& other = choice.emplace_back();
    other.more.types = kObject;
    std::set<std::string>& names = other.more.outside.emplace_back();
    if (const OrderedJson* properties = word(schema, "properties"))
      for (const auto& [name, member] : properties->items()) names.insert(name);
    narrowed_.push_back(document_.place(schema, "additionalProperties"));
  }
}

void SchemaCases::deny_combined(const OrderedJson& schema, const Pending& pending, Choice& choice) {
  auto denied = [&](const OrderedJson& part) { return Pending{{&part, true}, pending.chain}; };
  auto said = [&](const OrderedJson& part) { return Pending{{&part, false}, pending.chain}; };
  if (schema.contains("$ref")) choice.push_back({{}, {follow(schema, pending)}});
  if (const OrderedJson* part = word(schema, "not")) choice.push_back({{}, {said(*part)}});
  if (const OrderedJson* parts = word(schema, "allOf"); parts && parts->is_array())
    for (const OrderedJson& part : *parts) choice.push_back({{}, {denied(part)}});
  if (const OrderedJson* parts = word(schema, "anyOf"); parts && parts->is_array()) {
    Alternative none;
    for (const OrderedJson& part : *parts) none.terms.push_back(denied(part));
    choice.push_back(std::move(none));
  }
  if (const OrderedJson* parts = word(schema, "oneOf"); parts && parts->is_array()) {
    Alternative none;  // or two of them
    for (const OrderedJson& part : *parts) none.terms.push_back(denied(part));
    choice.push_back(std::move(none));
    for (size_t i = 0; i < parts->size(); i++)
      for (size_t j = 0; j < i; j++) choice.push_back({{}, {said((*parts)[j]), said((*parts)[i])}});
  }
  const OrderedJson *condition = word(schema, "if"), *then = word(schema, "then"), *otherwise = word(schema, "else");
  if (condition && then) choice.push_back({{}, {said(*condition), denied(*then)}});
  if (condition && otherwise) choice.push_back({{}, {denied(*condition), denied(*otherwise)}});
}

}  // namespace tenth
