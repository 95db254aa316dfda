// SchemaDocument::satisfies: a value against a schema, word by word, for the values of enum and const.
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/schema_document.h"

namespace tenth {
namespace {

constexpr int kMaxDepth = 256;
constexpr size_t kMaxChecks = 200'000;

const OrderedJson* word(const OrderedJson& schema, const char* key) {
  const auto at = schema.find(key);
  return at == schema.end() ? nullptr : &*at;
}

bool equal_to_one_of(const OrderedJson& value, const OrderedJson& list) {
  if (!list.is_array()) return false;
  for (const OrderedJson& item : list)
    if (SchemaDocument::equal(value, item)) return true;
  return false;
}

size_t characters(const std::string& text) {
  size_t n = 0;
  for (char c : text) n += (uint8_t(c) & 0xC0) != 0x80;
  return n;
}

bool within(size_t size, const OrderedJson& schema, const char* least, const char* most) {
  const OrderedJson *min = word(schema, least), *max = word(schema, most);
  return !(min && min->is_number() && double(size) < min->get<double>()) &&
         !(max && max->is_number() && double(size) > max->get<double>());
}

}  // namespace

bool SchemaDocument::equal(const OrderedJson& a, const OrderedJson& b) {
  if (a.is_object() && b.is_object()) {
    if (a.size() != b.size()) return false;
    for (const auto& [key, value] : a.items())
      if (!b.contains(key) || !equal(value, b.at(key))) return false;
    return true;
  }
  if (a.is_array() && b.is_array()) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); i++)
      if (!equal(a[i], b[i])) return false;
    return true;
  }
  return a == b;  // numbers by value
}

std::string SchemaDocument::type_of(const OrderedJson& value) {
  if (value.is_number()) return is_type(value, "integer") ? "integer" : "number";
  return value.is_null() ? "null" : value.type_name();
}

bool SchemaDocument::is_type(const OrderedJson& value, const std::string& type) {
  if (type == "integer") {
    if (!value.is_number_float()) return value.is_number_integer();
    const double number = value.get<double>();
    return std::floor(number) == number;
  }
  if (type == "number") return value.is_number();
  return type == "null" ? value.is_null() : type == value.type_name();
}

bool SchemaDocument::check(const OrderedJson& value, const OrderedJson& schema, int depth) const {
  require(depth <= kMaxDepth && ++checks_ <= kMaxChecks, ErrorKind::kInput,
          "{}: the values of an enum or const need too much work to check", where_);
  if (schema.is_boolean()) return schema.get<bool>();
  if (!schema.is_object()) return true;
  if (const OrderedJson* type = word(schema, "type")) {
    if (type->is_string() && !is_type(value, *type)) return false;
    if (type->is_array()) {
      bool any = false;
      for (const OrderedJson& name : *type) any = any || (name.is_string() && is_type(value, name));
      if (!any) return false;
    }
  }
  if (const OrderedJson* list = word(schema, "enum"); list && !equal_to_one_of(value, *list)) return false;
  if (const OrderedJson* only = word(schema, "const"); only && !equal(value, *only)) return false;
  if (value.is_number() && !check_number(value, schema)) return false;
  if (value.is_string() && !check_string(value, schema)) return false;
  if (value.is_array() && !check_array(value, schema, depth)) return false;
  if (value.is_object() && !check_object(value, schema, depth)) return false;
  return check_combined(value, schema, depth);
}

bool SchemaDocument::check_number(const OrderedJson& value, const OrderedJson& schema) const {
  const double number = value.get<double>();
  auto bound = [&](const char* key) {
    const OrderedJson* at = word(schema, key);
    return at && at->is_number() ? at->get<double>() : NAN;
  };
  auto flag = [&](const char* key) {  // draft 4
    const OrderedJson* at = word(schema, key);
    return at && at->is_boolean() && at->get<bool>();
  };
  if (number < bound("minimum") || (flag("exclusiveMinimum") && number == bound("minimum"))) return false;
  if (number > bound("maximum") || (flag("exclusiveMaximum") && number == bound("maximum"))) return false;
  if (number <= bound("exclusiveMinimum") || number >= bound("exclusiveMaximum")) return false;
  const double step = bound("multipleOf");
  if (!(step > 0)) return true;
  const double quotient = number / step;
  return std::abs(quotient - std::round(quotient)) <= 1e-9 * std::max(1.0, std::abs(quotient));
}

bool SchemaDocument::check_string(const OrderedJson& value, const OrderedJson& schema) const {
  const std::string& text = value.get_ref<const std::string&>();
  if (!within(characters(text), schema, "minLength", "maxLength")) return false;
  if (well_formed_prefix(text) != text.size()) return false;
  const OrderedJson *pattern = word(schema, "pattern"), *format = word(schema, "format");
  if (pattern && pattern->is_string() && !pattern_dfa(*pattern, schema).matches(text)) return false;
  const CharDfa* dfa = format && format->is_string() ? format_dfa(*format, schema) : nullptr;
  return !dfa || dfa->matches(text);
}

bool SchemaDocument::check_array(const OrderedJson& value, const OrderedJson& schema, int depth) const {
  if (!within(value.size(), schema, "minItems", "maxItems")) return false;
  const OrderedJson *items = word(schema, "items"), *prefix = word(schema, "prefixItems");
  const OrderedJson* rest = items;
  if (items && items->is_array()) {
    prefix = items;
    rest = word(schema, "additionalItems");
  }
  const size_t fixed = prefix && prefix->is_array() ? prefix->size() : 0;
  for (size_t i = 0; i < value.size(); i++) {
    if (i < fixed && !check(value[i], (*prefix)[i], depth + 1)) return false;
    if (i >= fixed && rest && !check(value[i], *rest, depth + 1)) return false;
  }
  if (const OrderedJson* unique = word(schema, "uniqueItems"); unique && unique->is_boolean() && unique->get<bool>())
    for (size_t i = 0; i < value.size(); i++)
      for (size_t j = 0; j < i; j++)
        if (equal(value[i], value[j])) return false;
  if (const OrderedJson* contains = word(schema, "contains")) {
    size_t found = 0;
    for (const OrderedJson& item : value) found += check(item, *contains, depth + 1);
    const bool bounded = word(schema, "minContains") != nullptr;
    if ((!bounded && found == 0) || !within(found, schema, "minContains", "maxContains")) return false;
  }
  return true;
}

bool SchemaDocument::check_object(const OrderedJson& value, const OrderedJson& schema, int depth) const {
  if (!within(value.size(), schema, "minProperties", "maxProperties")) return false;
  auto has_all = [&](const OrderedJson& names) {
    for (const OrderedJson& name : names)
      if (name.is_string() && !value.contains(name.get_ref<const std::string&>())) return false;
    return true;
  };
  if (const OrderedJson* required = word(schema, "required"); required && required->is_array() && !has_all(*required))
    return false;
  for (const char* key : {"dependencies", "dependentRequired", "dependentSchemas"})
    if (const OrderedJson* rules = word(schema, key); rules && rules->is_object())
      for (const auto& [name, rule] : rules->items()) {
        if (!value.contains(name)) continue;
        if (rule.is_array() ? !has_all(rule) : !check(value, rule, depth + 1)) return false;
      }
  return check_members(value, schema, depth);
}

bool SchemaDocument::check_members(const OrderedJson& value, const OrderedJson& schema, int depth) const {
  const OrderedJson *properties = word(schema, "properties"), *patterns = word(schema, "patternProperties"),
                    *additional = word(schema, "additionalProperties"), *names = word(schema, "propertyNames");
  for (const auto& [key, member] : value.items()) {
    bool known = false;
    if (properties && properties->is_object() && properties->contains(key)) {
      known = true;
      if (!check(member, properties->at(key), depth + 1)) return false;
    }
    if (patterns && patterns->is_object())
      for (const auto& [pattern, rule] : patterns->items()) {
        if (!pattern_dfa(pattern, *patterns).matches(key)) continue;
        known = true;
        if (!check(member, rule, depth + 1)) return false;
      }
    if (!known && additional && !check(member, *additional, depth + 1)) return false;
    if (names && !check(OrderedJson(key), *names, depth + 1)) return false;
  }
  return true;
}

bool SchemaDocument::check_combined(const OrderedJson& value, const OrderedJson& schema, int depth) const {
  auto passes = [&](const OrderedJson& part) { return check(value, part, depth + 1); };
  if (schema.contains("$ref") && !passes(resolve(schema))) return false;
  if (const OrderedJson* part = word(schema, "not"); part && passes(*part)) return false;
  for (const char* key : {"allOf", "anyOf", "oneOf"}) {
    const OrderedJson* parts = word(schema, key);
    if (!parts || !parts->is_array()) continue;
    size_t passed = 0;
    for (const OrderedJson& part : *parts) passed += passes(part);
    if (key[0] == 'a' && key[1] == 'l' ? passed != parts->size() : key[0] == 'a' ? passed == 0 : passed != 1)
      return false;
  }
  if (const OrderedJson* condition = word(schema, "if"))
    if (const OrderedJson* then = word(schema, passes(*condition) ? "then" : "else"); then && !passes(*then))
      return false;
  for (const char* key : {"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"})
    require(!schema.contains(key), ErrorKind::kUnsupported, "{}: {} is not supported", place(schema, key), key);
  return true;
}

}  // namespace tenth
