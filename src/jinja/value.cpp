#include "jinja/value.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace tenth::jinja {
namespace {

// The depth and weight of a list or dict, from those of what stands in it.
struct Measure {
  int depth = 0;
  int64_t weight = 1;

  void add(const Value& value) {
    depth = std::max(depth, value.depth());
    weight += value.weight();
  }
  void check() const {
    require(depth + 1 < Value::kMaxDepth, ErrorKind::kInput,
            "expected lists and dicts within each other to at most {} levels, and no namespace in them",
            Value::kMaxDepth);
    require(weight <= Value::kMaxWeight, ErrorKind::kInput, "expected a value of at most {} parts, got {}",
            Value::kMaxWeight, weight);
  }
};

bool is_key(const Value& key) { return key.text() || key.is_number() || key.is_none(); }

int rank_of(const Value& key) { return key.text() ? 2 : key.is_none() ? 1 : 0; }

// Any order of keys, so that two dicts can be walked together.
std::vector<const std::pair<Value, Value>*> sorted(const Dict& dict) {
  std::vector<const std::pair<Value, Value>*> items;
  for (const auto& item : dict.items) items.push_back(&item);
  std::stable_sort(items.begin(), items.end(), [](const auto* a, const auto* b) {
    const int x = rank_of(a->first), y = rank_of(b->first);
    return x != y ? x < y : x != 1 && less(a->first, b->first);
  });
  return items;
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  const auto left = sorted(a), right = sorted(b);
  return std::equal(left.begin(), left.end(), right.begin(), [](const auto* x, const auto* y) {
    return equal(x->first, y->first) && equal(x->second, y->second);
  });
}

[[noreturn]] void unordered(const Value& a, const Value& b) {
  fail(ErrorKind::kInput, "cannot compare {} and {}", a.type_name(), b.type_name());
}

}  // namespace

Value::Value(std::vector<Value> items, bool tuple) {
  Measure measure;
  for (const Value& item : items) measure.add(item);
  measure.check();
  data_ = std::make_shared<const List>(List{std::move(items), tuple, measure.depth + 1, measure.weight});
}

Value::Value(Dict dict) {
  Measure measure;
  for (const auto& [key, value] : dict.items) {
    measure.add(key);
    measure.add(value);
  }
  measure.check();
  dict.depth = measure.depth + 1;
  dict.weight = measure.weight;
  data_ = std::make_shared<const Dict>(std::move(dict));
}

Value Value::undefined(std::string what) {
  Value value;
  value.data_ = Undefined{std::make_shared<const std::string>(std::move(what))};
  return value;
}

Value Value::from_json(const OrderedJson& json, Origin origin) {
  using Type = OrderedJson::value_t;
  switch (json.type()) {
    case Type::boolean: return json.get<bool>();
    case Type::number_integer: return json.get<int64_t>();
    case Type::number_unsigned:
      if (json.get<uint64_t>() <= uint64_t(INT64_MAX)) return json.get<int64_t>();
      return double(json.get<uint64_t>());
    case Type::number_float: return json.get<double>();
    case Type::string: return MarkedText(json.get_ref<const std::string&>(), origin);
    case Type::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const OrderedJson& item : json) items.push_back(from_json(item, origin));
      return Value(std::move(items));
    }
    case Type::object: {
      Dict dict;
      dict.items.reserve(json.size());
      for (const auto& [key, value] : json.items())
        dict.items.emplace_back(MarkedText(key, origin), from_json(value, origin));
      return Value(std::move(dict));
    }
    default: return None{};
  }
}

const int64_t* Value::whole(int64_t& room) const {
  if (const bool* truth = get<bool>())
    room = *truth;
  else if (const int64_t* number = get<int64_t>())
    room = *number;
  else
    return nullptr;
  return &room;
}

double Value::number() const {
  int64_t room;
  if (const int64_t* number = whole(room)) return double(*number);
  return get<double>() ? *get<double>() : NAN;
}

int Value::depth() const {
  if (list()) return list()->depth;
  if (dict()) return dict()->depth;
  return space() || callable() || loop() ? kMaxDepth : 0;
}

int64_t Value::weight() const {
  if (list()) return list()->weight;
  if (dict()) return dict()->weight;
  return text() ? 1 + int64_t(text()->size() / 64) : 1;
}

const char* Value::type_name() const {
  if (list()) return list()->tuple ? "tuple" : "list";
  static constexpr const char* kNames[] = {"undefined", "None", "bool",      "int",      "float", "str",
                                           "list",      "dict", "namespace", "function", "loop"};
  return kNames[data_.index()];
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [k, value] : items)
    if (k.text() && k.text()->text() == key) return &value;
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.text()) return find(std::string_view(key.text()->text()));
  for (const auto& [k, value] : items)
    if (equal(k, key)) return &value;
  return nullptr;
}

void Dict::set(Value key, Value value) {
  require(is_key(key), ErrorKind::kInput, "expected a string, number or none as key, got {}", key.type_name());
  if (const Value* there = find(key))
    *const_cast<Value*>(there) = std::move(value);
  else
    items.emplace_back(std::move(key), std::move(value));
}

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_number()) return value.number() != 0;
  if (value.text()) return !value.text()->empty();
  if (value.list()) return !value.list()->items.empty();
  if (value.dict()) return !value.dict()->items.empty();
  return true;
}

bool equal(const Value& a, const Value& b) {
  int64_t x, y;
  if (a.whole(x) && b.whole(y)) return x == y;
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.text() && b.text()) return a.text()->text() == b.text()->text();
  if (const List* l = a.list(), *r = b.list(); l && r)
    return l->tuple == r->tuple &&
           std::equal(l->items.begin(), l->items.end(), r->items.begin(), r->items.end(), equal);
  if (a.dict() && b.dict()) return equal_dicts(*a.dict(), *b.dict());
  if (a.space() || b.space()) return a.space() == b.space();
  if (a.callable() || b.callable()) return a.callable() == b.callable();
  if (a.loop() || b.loop()) return a.loop() == b.loop();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

bool less(const Value& a, const Value& b) {
  int64_t x, y;
  if (a.whole(x) && b.whole(y)) return x < y;
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.text() && b.text()) return a.text()->text() < b.text()->text();  // UTF-8 sorts as its code points
  const List *l = a.list(), *r = b.list();
  if (!l || !r || l->tuple != r->tuple) unordered(a, b);
  const size_t both = std::min(l->items.size(), r->items.size());
  for (size_t i = 0; i < both; i++)
    if (!equal(l->items[i], r->items[i])) return less(l->items[i], r->items[i]);
  return l->items.size() < r->items.size();
}

}  // namespace tenth::jinja
