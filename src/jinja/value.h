// The values of templates: Python's, as far as chat templates use them. All are immutable but namespaces, and none can
// hold itself, so a value is a tree of bounded depth.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/marked_text.h"

namespace tenth::jinja {

class Value;
struct List;
struct Dict;
struct Namespace;
struct Callable;
struct Loop;

struct None {};
struct Undefined {
  std::shared_ptr<const std::string> what;  // for errors: "message.content"
};

using Text = std::shared_ptr<const MarkedText>;
using ListPtr = std::shared_ptr<const List>;
using DictPtr = std::shared_ptr<const Dict>;

class Value {
 public:
  // Lists and dicts within each other, and all values in them, each as often as it stands there. More is refused.
  static constexpr int kMaxDepth = 256;
  static constexpr int64_t kMaxWeight = int64_t(1) << 22;

  Value() : data_(Undefined{}) {}
  Value(None none) : data_(none) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(MarkedText text) : data_(std::make_shared<const MarkedText>(std::move(text))) {}
  Value(std::string text) : Value(MarkedText(std::move(text))) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::vector<Value> items, bool tuple = false);
  Value(Dict dict);
  Value(std::shared_ptr<Namespace> space) : data_(std::move(space)) {}
  Value(std::shared_ptr<const Callable> callable) : data_(std::move(callable)) {}
  Value(std::shared_ptr<const Loop> loop) : data_(std::move(loop)) {}
  static Value undefined(std::string what);

  // Every string in it, keys too, is marked with origin. Throws kInput where it is nested too deep.
  static Value from_json(const OrderedJson& json, Origin origin);

  template <class T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  bool is_undefined() const { return get<Undefined>(); }
  bool is_none() const { return get<None>(); }
  const MarkedText* text() const { return get<Text>() ? get<Text>()->get() : nullptr; }
  const List* list() const { return get<ListPtr>() ? get<ListPtr>()->get() : nullptr; }
  const Dict* dict() const { return get<DictPtr>() ? get<DictPtr>()->get() : nullptr; }
  Namespace* space() const {
    return get<std::shared_ptr<Namespace>>() ? get<std::shared_ptr<Namespace>>()->get() : nullptr;
  }
  const Callable* callable() const {
    return get<std::shared_ptr<const Callable>>() ? get<std::shared_ptr<const Callable>>()->get() : nullptr;
  }
  const Loop* loop() const {
    return get<std::shared_ptr<const Loop>>() ? get<std::shared_ptr<const Loop>>()->get() : nullptr;
  }
  bool is_number() const { return get<bool>() || get<int64_t>() || get<double>(); }
  // Of a bool or int.
  const int64_t* whole(int64_t& room) const;
  double number() const;  // of a bool, int or float

  int depth() const;              // kMaxDepth for what may not stand in another value
  int64_t weight() const;         // values in it, itself too, and one more for each 64 bytes of text
  const char* type_name() const;  // Python's: str, int, dict, ...

 private:
  std::variant<Undefined, None, bool, int64_t, double, Text, ListPtr, DictPtr, std::shared_ptr<Namespace>,
               std::shared_ptr<const Callable>, std::shared_ptr<const Loop>>
      data_;
};

struct List {
  std::vector<Value> items;
  bool tuple = false;
  int depth = 1;
  int64_t weight = 1;
};

// In order of insertion. Keys are strings, numbers or None.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
  int64_t weight = 1;

  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
  void set(Value key, Value value);
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};

// What stands between the brackets of a call, evaluated.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Interpreter;

struct Callable {
  std::string name;
  std::function<Value(Interpreter&, Arguments&)> call;
};

// The variable `loop`.
struct Loop {
  std::shared_ptr<const std::vector<Value>> items;
  int64_t index0 = 0;
  int64_t depth = 1;
};

bool truth(const Value& value);
bool equal(const Value& a, const Value& b);
// a < b as Python orders numbers, strings and lists. Throws kInput for others.
bool less(const Value& a, const Value& b);

// str(value) and repr(value). Texts keep their marks. A namespace, loop or function has no text: kInput.
MarkedText to_text(const Value& value);
MarkedText representation(const Value& value);
std::string number_text(double value);  // repr of a float

struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  int64_t indent = -1;  // none
  std::string item_separator = ", ", key_separator = ": ";
};
// json.dumps(value): its mark is the strictest of all that stands in it. Throws kInput where it has no JSON.
MarkedText to_json(const Value& value, const JsonStyle& style);

}  // namespace tenth::jinja
