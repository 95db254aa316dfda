#include "grammar/schema_case.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace tenth {
namespace {

constexpr size_t kMaxWork = 100'000;  // alternatives looked at for one schema
constexpr size_t kMaxCases = 200;     // of one value: more would make each token slow
constexpr int kMaxDepth = 24;         // of oneOf within the parts of oneOf, while they are compared

uint32_t types_of(const OrderedJson& value) {
  if (value.is_null()) return kNull;
  if (value.is_boolean()) return kBoolean;
  if (value.is_number()) return SchemaDocument::is_type(value, "integer") ? kInteger : kFraction;
  return value.is_string() ? kString : value.is_array() ? kArray : kObject;
}

}  // namespace

void SchemaCase::merge(const SchemaCase& other) {
  auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  types &= other.types;
  if (other.values && !values) {
    values = other.values;
  } else if (other.values) {
    std::erase_if(*values, [&](const OrderedJson* value) {
      return std::none_of(other.values->begin(), other.values->end(),
                          [&](const OrderedJson* v) { return SchemaDocument::equal(*v, *value); });
    });
  }
  append(excluded, other.excluded);
  auto tighter = [](auto& bound, const auto& more, bool least) {
    if (!more) return;
    if (!bound || (least ? more->value > bound->value : more->value < bound->value))
      bound = more;
    else if (more->value == bound->value)
      bound->exclusive = bound->exclusive || more->exclusive;
  };
  tighter(number.least, other.number.least, true);
  tighter(number.most, other.number.most, false);
  append(number.steps, other.number.steps);
  min_length = std::max(min_length, other.min_length);
  max_length = std::min(max_length, other.max_length);
  append(patterns, other.patterns);
  append(arrays, other.arrays);
  min_items = std::max(min_items, other.min_items);
  max_items = std::min(max_items, other.max_items);
  append(objects, other.objects);
  append(members, other.members);
  append(names, other.names);
  append(required, other.required);
  forbidden.insert(other.forbidden.begin(), other.forbidden.end());
  min_members = std::max(min_members, other.min_members);
  max_members = std::min(max_members, other.max_members);
  append(unsupported, other.unsupported);
  append(outside, other.outside);
  unsaid = unsaid || other.unsaid;
  const auto& empty_number = number.least && number.most && number.least->value > number.most->value;
  if (empty_number) types &= ~(kInteger | kFraction);
  if (min_length > max_length) types &= ~kString;
  if (min_items > max_items) types &= ~kArray;
  if (min_members > max_members) types &= ~kObject;
  for (const std::string& name : required)
    if (forbidden.contains(name)) types &= ~kObject;
}

Terms SchemaCases::conjunction(Terms terms) const {
  std::erase_if(terms, [](const Term& t) { return t.schema->is_boolean() && t.schema->get<bool>() != t.negated; });
  std::sort(terms.begin(), terms.end(), [&](const Term& a, const Term& b) {
    return std::pair(document_.number(*a.schema), a.negated) < std::pair(document_.number(*b.schema), b.negated);
  });
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  return terms;
}

const std::vector<SchemaCase>& SchemaCases::of(const Terms& terms) {
  const auto known = known_.find(terms);
  if (known != known_.end()) return known->second;
  std::vector<SchemaCase> cases;
  State state;
  for (const Term& term : terms)
    state.pending.push_back({term, std::make_shared<const Chain>(Chain{term.schema, nullptr, 0})});
  expand(std::move(state), terms, cases);
  return known_.emplace(terms, std::move(cases)).first->second;
}

void SchemaCases::expand(State state, const Terms& whole, std::vector<SchemaCase>& out) {
  require(++work_ <= kMaxWork && out.size() <= kMaxCases, ErrorKind::kInput,
          "{}: the schema has too many combinations of alternatives: make it simpler",
          document_.place(document_.root()));
  while (!state.pending.empty()) {
    const Pending pending = state.pending.front();
    state.pending.pop_front();
    if (!state.done.insert(pending.term).second) continue;
    if (state.done.contains({pending.term.schema, !pending.term.negated})) return;
    if (pending.term.negated)
      state.choices.push_back(deny(pending));
    else
      say(pending, state);
    if (state.so_far.impossible()) return;
  }
  if (state.choices.empty()) return finish(std::move(state.so_far), whole, out);
  // The choice with the fewest alternatives first: some of the others then fall away early.
  const auto least = std::min_element(state.choices.begin(), state.choices.end(),
                                      [](const Choice& a, const Choice& b) { return a.size() < b.size(); });
  const Choice choice = std::move(*least);
  state.choices.erase(least);
  for (const Alternative& alternative : choice) {
    State next = state;
    next.so_far.merge(alternative.more);
    if (next.so_far.types == kObject && !next.so_far.values) {
      const std::vector<std::string>& names = next.so_far.required;
      if (std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            const Terms terms = member_terms(next.so_far, name);
            return terms.size() > 1 && empty(terms);
          }))
        continue;
    }
    if (next.so_far.impossible()) continue;
    next.pending.assign(alternative.terms.begin(), alternative.terms.end());
    expand(std::move(next), whole, out);
  }
}

void SchemaCases::finish(SchemaCase c, const Terms& whole, std::vector<SchemaCase>& out) {
  if (c.values) {  // each value is checked against all that is said, whatever words say it
    std::erase_if(*c.values, [&](const OrderedJson* value) {
      return !std::all_of(whole.begin(), whole.end(),
                          [&](const Term& term) { return document_.satisfies(*value, *term.schema) != term.negated; });
    });
    std::erase_if(*c.values, [&](const OrderedJson* value) { return !(types_of(*value) & c.types); });
    if (!c.values->empty()) out.push_back(std::move(c));
    return;
  }
  if (c.unsaid) return;
  if (!c.outside.empty() && (c.types & kObject)) {
    // Some declared member that lies outside: a case for each.
    const std::set<std::string> names = std::move(c.outside.back());
    c.outside.pop_back();
    c.types = kObject;
    for (const std::string& name : declared_names(c)) {
      if (names.contains(name) || c.forbidden.contains(name)) continue;
      SchemaCase with = c;
      with.required.push_back(name);
      finish(std::move(with), whole, out);
    }
    return;
  }
  for (const OrderedJson* value : c.excluded) {
    const uint32_t type = types_of(*value) & c.types;
    if (type == kNull) c.types &= ~kNull;
    if (type == kArray && c.min_items <= value->size() && value->size() <= c.max_items) c.types &= ~kArray;
    if (type == kObject && could_be(c, *value)) c.types &= ~kObject;
  }
  if (c.types & kArray) {
    // Arrays that end before an item that nothing satisfies.
    for (size_t i = 0; i <= prefix_length(c) && i < c.max_items; i++) {
      const Terms terms = item_terms(c, i);
      if (std::any_of(terms.begin(), terms.end(), [](const Term& t) { return t.schema->is_boolean(); }))
        c.max_items = i;
    }
    if (c.min_items > c.max_items) c.types &= ~kArray;
  }
  for (const SchemaCase::Unsupported& u : c.unsupported) {
    if (u.word == "uniqueItems" && c.max_items <= 1) continue;
    require(!(u.types & c.types), ErrorKind::kUnsupported, "{}: {} is not supported", u.place, u.word);
  }
  if (c.types != 0) out.push_back(std::move(c));
}

std::vector<std::string> SchemaCases::declared_names(const SchemaCase& c) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  auto add = [&](const std::string& name) {
    if (seen.insert(name).second) names.push_back(name);
  };
  for (const SchemaCase::ObjectPart& part : c.objects)
    if (part.properties)
      for (const auto& [name, schema] : part.properties->items()) add(name);
  for (const auto& [name, term] : c.members) add(name);
  for (const std::string& name : c.required) add(name);
  return names;
}

Terms SchemaCases::member_terms(const SchemaCase& c, const std::string& name) const {
  Terms terms;
  for (const SchemaCase::ObjectPart& part : c.objects) {
    bool known = false;
    if (part.properties && part.properties->contains(name)) {
      terms.push_back({&part.properties->at(name)});
      known = true;
    }
    if (part.patterns)
      for (const auto& [pattern, schema] : part.patterns->items()) {
        if (!document_.pattern_dfa(pattern, *part.patterns).matches(name)) continue;
        terms.push_back({&schema});
        known = true;
      }
    if (!known && part.additional) terms.push_back({part.additional});
  }
  for (const auto& [key, term] : c.members)
    if (key == name) terms.push_back(term);
  return conjunction(std::move(terms));
}

size_t SchemaCases::prefix_length(const SchemaCase& c) const {
  size_t length = 0;
  for (const SchemaCase::ArrayPart& part : c.arrays)
    if (part.prefix) length = std::max(length, part.prefix->size());
  return length;
}

Terms SchemaCases::item_terms(const SchemaCase& c, size_t i) const {
  Terms terms;
  for (const SchemaCase::ArrayPart& part : c.arrays) {
    if (part.prefix && i < part.prefix->size())
      terms.push_back({&(*part.prefix)[i]});
    else if (part.rest)
      terms.push_back({part.rest});
  }
  return conjunction(std::move(terms));
}

std::optional<CharDfa> SchemaCases::text_dfa(const SchemaCase& c) const {
  std::vector<std::string> excluded;
  for (const OrderedJson* value : c.excluded)
    if (value->is_string()) excluded.push_back(value->get<std::string>());
  if (c.patterns.empty() && excluded.empty()) return std::nullopt;
  CharDfa dfa = CharDfa::any_text();
  if (c.min_length > 0 || c.max_length != UINT64_MAX) dfa = CharDfa::of_lengths(c.min_length, c.max_length);
  for (const SchemaCase::Pattern& pattern : c.patterns)
    dfa = pattern.negated ? without(dfa, *pattern.dfa) : both(dfa, *pattern.dfa);
  if (!excluded.empty()) dfa = without(dfa, CharDfa::of_texts(excluded));
  return dfa;
}

// Whether no value can satisfy both; false where that is not seen.
bool SchemaCases::disjoint(const Term& a, const Term& b) {
  const auto key = std::minmax(a, b);
  const auto known = disjoint_.find(key);
  if (known != disjoint_.end()) return known->second;
  const Terms together = conjunction({a, b});
  if (depth_ >= kMaxDepth || open_.contains(together)) return false;
  open_.insert(together);
  depth_++;
  bool apart = true;
  try {
    const std::vector<SchemaCase> left = of(conjunction({a})), right = of(conjunction({b}));
    for (const SchemaCase& x : left)
      for (const SchemaCase& y : right) {
        require(++work_ <= kMaxWork, ErrorKind::kInput, "{}: the schema has too many combinations of alternatives",
                document_.place(document_.root()));
        // Of values in a list it is known.
        const auto* values = x.values ? &*x.values : y.values ? &*y.values : nullptr;
        const Term& other = x.values ? b : a;
        if (values)
          apart = apart && std::none_of(values->begin(), values->end(), [&](const OrderedJson* value) {
                    return document_.satisfies(*value, *other.schema) != other.negated;
                  });
        else
          apart = apart && disjoint(x, y);
      }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    apart = false;  // told by whoever uses the branch
  }
  depth_--;
  open_.erase(together);
  return disjoint_[key] = apart;
}

bool SchemaCases::empty(const Terms& terms) {
  if (terms.empty() || open_.contains(terms) || depth_ >= kMaxDepth) return false;
  open_.insert(terms);
  depth_++;
  bool none = false;
  try {
    none = of(terms).empty();
    for (size_t i = 0; !none && i < terms.size(); i++)
      for (size_t j = 0; !none && j < i; j++) none = disjoint(terms[i], terms[j]);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
  }
  depth_--;
  open_.erase(terms);
  return none;
}

bool SchemaCases::could_be(const SchemaCase& c, const OrderedJson& object) const {
  if (object.size() < c.min_members || object.size() > c.max_members) return false;
  for (const std::string& name : c.required)
    if (!object.contains(name)) return false;
  for (const auto& [name, value] : object.items()) {
    if (c.forbidden.contains(name)) return false;
    for (const Term& term : member_terms(c, name))
      if (document_.satisfies(value, *term.schema) == term.negated) return false;
  }
  return true;
}

bool SchemaCases::disjoint(const SchemaCase& a, const SchemaCase& b) {
  SchemaCase c = a;
  c.merge(b);
  if (c.impossible()) return true;
  if (c.types & (kNull | kBoolean)) return false;
  if (c.types & (kInteger | kFraction)) {
    const bool touch = c.number.least && c.number.most && c.number.least->value == c.number.most->value &&
                       (c.number.least->exclusive || c.number.most->exclusive);
    if (!touch) return false;
  }
  if (c.types & kString) {
    const std::optional<CharDfa> dfa = text_dfa(c);
    if (!dfa || !dfa->empty()) return false;
  }
  if (c.types & kArray) {
    bool none = false;
    for (size_t i = 0; i < c.min_items && i <= prefix_length(c) && !none; i++) none = empty(item_terms(c, i));
    if (!none) return false;
  }
  if (c.types & kObject)
    return std::any_of(c.required.begin(), c.required.end(),
                       [&](const std::string& name) { return empty(member_terms(c, name)); });
  return true;
}

uint64_t SchemaCases::size_of(const OrderedJson& schema, const char* key, uint64_t otherwise) const {
  const auto at = schema.find(key);
  if (at == schema.end()) return otherwise;
  const bool whole = at->is_number() && SchemaDocument::is_type(*at, "integer") && at->get<double>() >= 0;
  require(whole, ErrorKind::kInput, "{}: expected a whole number from 0", document_.place(schema, key));
  return at->get<double>() > 1e9 ? uint64_t(1e9) : uint64_t(at->get<double>());
}

}  // namespace tenth
