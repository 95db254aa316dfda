#include <algorithm>

#include "base/error.h"
#include "jinja/filters.h"
#include "jinja/texts.h"

namespace tenth::jinja {
namespace {

using V = const Value&;
using P = const Parameters&;

// What values are compared by: small letters unless the case matters, and an attribute where one is named.
struct By {
  Interpreter& run;
  bool case_sensitive;
  Value path;  // none: the value itself

  By(Interpreter& r, P given, size_t case_at, size_t path_at)
      : run(r), case_sensitive(given.boolean(case_at, false)), path(given.has(path_at) ? given.at(path_at) : None{}) {}
  Value operator()(V value) const {
    Value key = path.is_none() ? value : attribute_path(run, value, path);
    run.charge(key);
    return key.text() && !case_sensitive ? Value(lower(*key.text())) : key;
  }
};

// Stable. (std::stable_sort ends whatever the order is; it throws what the comparison throws.)
std::vector<Value> sorted(Interpreter& run, const std::vector<Value>& items, const By& by, bool reverse) {
  std::vector<std::pair<Value, size_t>> keys;
  for (V item : items) keys.emplace_back(by(item), keys.size());
  std::stable_sort(keys.begin(), keys.end(), [&](const auto& a, const auto& b) {
    run.charge(1 + std::min(a.first.weight(), b.first.weight()));
    return reverse ? less(b.first, a.first) : less(a.first, b.first);
  });
  std::vector<Value> out;
  for (const auto& [key, i] : keys) out.push_back(items[i]);
  return out;
}

Value extreme(Interpreter& run, V value, P given, bool greatest) {
  const By by(run, given, 0, 1);
  const auto items = run.items_of(value);
  if (items->empty()) return Value::undefined("the least or greatest of an empty value");
  size_t best = 0;
  Value key = by(items->front());
  for (size_t i = 1; i < items->size(); i++) {
    Value other = by((*items)[i]);
    if (!(greatest ? less(key, other) : less(other, key))) continue;
    key = std::move(other);
    best = i;
  }
  return (*items)[best];
}

Value map_filter(Interpreter& run, V value, const Arguments& arguments) {
  std::vector<Value> out;
  const bool by_attribute = !arguments.named.empty();
  static const char* const kNames[] = {"attribute", "default"};
  const std::string map = "map";
  if (by_attribute) {
    const Parameters given(map, arguments, kNames);
    const auto items = run.items_of(value);
    for (V item : *items) {
      run.charge(1);
      Value part = attribute_path(run, item, given.at(0));
      out.push_back(part.is_undefined() && given.has(1) ? given.at(1) : std::move(part));
    }
    return Value(std::move(out));
  }
  require(!arguments.positional.empty() && arguments.positional[0].text(), ErrorKind::kInput,
          "map: expected the name of a filter or attribute=");
  const std::string& name = arguments.positional[0].text()->text();
  const auto items = run.items_of(value);
  for (V item : *items) {
    run.charge(1);
    Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, {}};
    out.push_back(apply_filter(run, name, item, rest));
  }
  return Value(std::move(out));
}

}  // namespace

Value attribute_path(Interpreter& run, V value, V path) {
  if (!path.text()) return run.item(value, path);
  Value at = value;
  for (const MarkedText& part : split(*path.text(), ".", -1)) {
    run.charge(1);
    const std::string& name = part.text();
    const bool is_index = !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    at = run.item(at, is_index ? Value(int64_t(std::stoll(name))) : Value(name));
  }
  return at;
}

bool is_selection(const std::string& name) {
  return name == "map" || name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr";
}

Value select_filter(Interpreter& run, const std::string& name, V value, const Arguments& arguments) {
  if (name == "map") return map_filter(run, value, arguments);
  const bool by_attribute = name.ends_with("attr"), keeps = name.starts_with("select");
  const size_t test_at = by_attribute ? 1 : 0;
  const auto& given = arguments.positional;
  require(given.size() >= test_at && arguments.named.empty(), ErrorKind::kInput, "{}: expected an attribute", name);
  const MarkedText* test = given.size() > test_at ? given[test_at].text() : nullptr;
  require(given.size() == test_at || test, ErrorKind::kInput, "{}: expected the name of a test", name);
  std::vector<Value> kept;
  const auto items = run.items_of(value);
  for (V item : *items) {
    run.charge(1);
    const Value tested = by_attribute ? attribute_path(run, item, given[0]) : item;
    Arguments rest;
    if (test) rest.positional.assign(given.begin() + ptrdiff_t(test_at) + 1, given.end());
    if ((test ? apply_test(run, test->text(), tested, rest) : truth(tested)) == keeps) kept.push_back(item);
  }
  return Value(std::move(kept));
}

Value sort_filter(Interpreter& run, V value, P given) {
  return Value(sorted(run, *run.items_of(value), By(run, given, 1, 2), given.boolean(0, false)));
}

Value unique_filter(Interpreter& run, V value, P given) {
  const By by(run, given, 0, 1);
  std::vector<Value> keys, kept;
  const auto items = run.items_of(value);
  for (V item : *items) {
    Value key = by(item);
    run.charge(1 + int64_t(keys.size()));
    if (std::any_of(keys.begin(), keys.end(), [&](V k) { return equal(k, key); })) continue;
    keys.push_back(std::move(key));
    kept.push_back(item);
  }
  return Value(std::move(kept));
}

Value least_filter(Interpreter& run, V value, P given) { return extreme(run, value, given, false); }
Value greatest_filter(Interpreter& run, V value, P given) { return extreme(run, value, given, true); }

Value dictsort_filter(Interpreter& run, V value, P given) {
  require(value.dict(), ErrorKind::kInput, "dictsort: expected a dict, got {}", value.type_name());
  const std::string by = given.string(1, "key");
  require(by == "key" || by == "value", ErrorKind::kInput, "dictsort: by: expected key or value, got {}", by);
  Arguments none;
  const Value entries = run.call(run.attribute(value, "items"), none, "items");
  By what(run, given, 0, 3);
  what.path = Value(int64_t(by == "value"));
  return Value(sorted(run, entries.list()->items, what, given.boolean(2, false)));
}

}  // namespace tenth::jinja
