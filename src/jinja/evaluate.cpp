// Expressions.
#include <algorithm>

#include "base/error.h"
#include "jinja/characters.h"
#include "jinja/deeper.h"
#include "jinja/interpreter.h"

namespace tenth::jinja {
namespace {

// What an expression is called in an error.
std::string describe(const Expression& e) {
  if (e.kind == Expression::kName) return e.name;
  if (e.kind == Expression::kAttribute) return describe(*e.kids[0]) + "." + e.name;
  if (e.kind == Expression::kItem) {
    const Value& key = e.kids[1]->value;
    if (e.kids[1]->kind == Expression::kConstant && key.text())
      return fmt::format("{}['{}']", describe(*e.kids[0]), key.text()->text());
    return describe(*e.kids[0]) + "[…]";
  }
  return "the value";
}

void require_defined(const Value& value) {
  if (const Undefined* undefined = value.get<Undefined>())
    fail(ErrorKind::kInput, "{} is undefined", undefined->what ? *undefined->what : "a value");
}

std::vector<Value> characters_of(const MarkedText& text) {
  std::vector<Value> characters;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at++;
    while (at < text.size() && (uint8_t(text.text()[at]) & 0xC0) == 0x80) at++;
    characters.emplace_back(text.part(begin, at));
  }
  return characters;
}

}  // namespace

Interpreter::Items Interpreter::items_of(const Value& value) {
  if (const ListPtr* list = value.get<ListPtr>()) {
    charge(int64_t((*list)->items.size() / 8));
    return {*list, &(*list)->items};
  }
  auto items = std::make_shared<std::vector<Value>>();
  if (const MarkedText* text = value.text()) {
    charge(4 * int64_t(text->size()));
    *items = characters_of(*text);
  } else if (const Dict* dict = value.dict()) {
    charge(int64_t(dict->items.size()));
    for (const auto& [key, entry] : dict->items) items->push_back(key);
  } else {
    require(value.is_undefined(), ErrorKind::kInput, "expected a value to loop over, got {}", value.type_name());
  }
  return items;
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (object.space()) {
    for (const auto& [n, value] : object.space()->items)
      if (n == name) return value;
    return Value::undefined(name);
  }
  if (object.loop()) return loop_attribute(*object.loop(), name);
  if (auto method = find_method(object, name)) return *method;
  if (const Dict* dict = object.dict()) {
    charge(int64_t(dict->items.size() / 16));
    if (const Value* value = dict->find(std::string_view(name))) return *value;
  }
  return Value::undefined(name);
}

Value Interpreter::item(const Value& object, const Value& key) {
  require_defined(object);
  int64_t index;
  if (const Dict* dict = object.dict()) {
    charge(int64_t(dict->items.size() / 16));
    if (const Value* value = dict->find(key)) return *value;
  } else if (const List* list = object.list(); list && key.whole(index)) {
    const auto size = int64_t(list->items.size());
    if (index < 0) index += size;
    if (index >= 0 && index < size) return list->items[size_t(index)];
  } else if (object.text() && key.whole(index)) {
    const Value behind = index == -1 ? Value(None{}) : Value(index + 1);
    Value character = slice_of(*this, object, key, behind, None{});
    if (!character.text()->empty()) return character;
  }
  if (key.text()) return attribute(object.dict() ? Value(Dict{}) : object, key.text()->text());
  return Value::undefined(representation(key).text());
}

Value Interpreter::call(const Value& callable, Arguments& arguments, const std::string& name) {
  require_defined(callable);
  require(callable.callable(), ErrorKind::kInput, "expected a function to call, got {} of type {}", name,
          callable.type_name());
  const auto keep = *callable.get<std::shared_ptr<const Callable>>();
  return keep->call(*this, arguments);
}

Value Interpreter::evaluate(const Expression& e) {
  const Deeper deeper(depth_);
  charge(1);
  line_ = e.line;
  Value value = evaluate_kind(e);
  // An undefined value remembers where it came from.
  const bool may_miss = e.kind == Expression::kAttribute || e.kind == Expression::kItem;
  return may_miss && value.is_undefined() ? Value::undefined(describe(e)) : value;
}

std::vector<Value> Interpreter::evaluate_all(const Expression& e) {
  std::vector<Value> values;
  for (const auto& kid : e.kids) values.push_back(evaluate(*kid));
  return values;
}

Value Interpreter::evaluate_kind(const Expression& e) {
  auto kid = [&](size_t i) { return evaluate(*e.kids[i]); };
  switch (e.kind) {
    case Expression::kConstant: return e.value;
    case Expression::kName: {
      const Value* value = find(e.name);
      return value ? *value : Value::undefined(e.name);
    }
    case Expression::kCaptured: return captured_;
    case Expression::kList: return Value(evaluate_all(e));
    case Expression::kTuple: return Value(evaluate_all(e), true);
    case Expression::kDict: return dict_of(e);
    case Expression::kAttribute: return attribute(kid(0), e.name);
    case Expression::kItem: {
      const Value object = kid(0);
      return item(object, kid(1));
    }
    case Expression::kSlice: return slice(e);
    case Expression::kCall: return call(e);
    case Expression::kFilter: {
      const Value value = kid(0);
      Arguments given = arguments(e);
      return apply_filter(*this, e.name, value, given);
    }
    case Expression::kTest: {
      const Value value = kid(0);
      Arguments given = arguments(e);
      return apply_test(*this, e.name, value, given);
    }
    case Expression::kNot: return !truth(kid(0));
    case Expression::kNegative:
    case Expression::kPositive: {
      const Value value = kid(0);
      require(value.is_number(), ErrorKind::kInput, "expected a number behind the sign, got {}", value.type_name());
      return binary(*this, "*", int64_t(e.kind == Expression::kNegative ? -1 : 1), value);
    }
    case Expression::kBinary: {
      const Value left = kid(0);
      return binary(*this, e.name, left, kid(1));
    }
    case Expression::kConcatenate: {
      MarkedText text;
      for (const auto& part : e.kids) {
        const Value value = evaluate(*part);
        charge(value);
        put(to_text(value), text);
      }
      return text;
    }
    case Expression::kCompare: return compare(e);
    case Expression::kAnd:
    case Expression::kOr: {
      Value value;
      for (const auto& part : e.kids) {
        value = evaluate(*part);
        if (truth(value) == (e.kind == Expression::kOr)) break;
      }
      return value;
    }
    case Expression::kCondition:
      if (truth(kid(0))) return kid(1);
      return e.kids[2] ? kid(2) : Value::undefined("the value without else");
  }
  return {};
}

Value Interpreter::dict_of(const Expression& e) {
  Dict dict;
  for (size_t i = 0; i < e.kids.size(); i += 2) {
    Value key = evaluate(*e.kids[i]);
    charge(int64_t(dict.items.size() / 16));
    dict.set(std::move(key), evaluate(*e.kids[i + 1]));
  }
  return Value(std::move(dict));
}

Value Interpreter::compare(const Expression& e) {
  Value left = evaluate(*e.kids[0]);
  for (size_t i = 0; i < e.names.size(); i++) {
    Value right = evaluate(*e.kids[i + 1]);
    const std::string& op = e.names[i];
    charge(std::min(left.weight(), right.weight()));
    bool holds = false;
    if (op == "==" || op == "!=")
      holds = equal(left, right) == (op == "==");
    else if (op == "in" || op == "not in")
      holds = contains(right, left) == (op == "in");
    else if (op == "<" || op == ">")
      holds = op == "<" ? less(left, right) : less(right, left);
    else
      holds = op == "<=" ? less(left, right) || equal(left, right) : less(right, left) || equal(left, right);
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

bool Interpreter::contains(const Value& container, const Value& value) {
  charge(container);
  if (const MarkedText* text = container.text()) {
    require(value.text(), ErrorKind::kInput, "expected a string left of in, as on its right, got {}",
            value.type_name());
    return text->text().find(value.text()->text()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(value) != nullptr;
  if (const List* list = container.list())
    return std::any_of(list->items.begin(), list->items.end(), [&](const Value& v) { return equal(v, value); });
  require(container.is_undefined(), ErrorKind::kInput, "expected a container right of in, got {}",
          container.type_name());
  return false;
}

Value Interpreter::slice(const Expression& e) {
  Value parts[4];
  for (size_t i = 0; i < 4; i++) parts[i] = e.kids[i] ? evaluate(*e.kids[i]) : Value(None{});
  require_defined(parts[0]);
  return slice_of(*this, parts[0], parts[1], parts[2], parts[3]);
}

Arguments Interpreter::arguments(const Expression& e) {
  Arguments given;
  for (size_t i = 1; i < e.kids.size(); i++) given.positional.push_back(evaluate(*e.kids[i]));
  for (const auto& [name, value] : e.named) given.named.emplace_back(name, evaluate(*value));
  return given;
}

Value Interpreter::call(const Expression& e) {
  const Value function = evaluate(*e.kids[0]);
  Arguments given = arguments(e);
  line_ = e.line;
  return call(function, given, describe(*e.kids[0]));
}

}  // namespace tenth::jinja
