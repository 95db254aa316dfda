// value is test, and the functions that every template sees.
#include <algorithm>
#include <ctime>
#include <unordered_map>

#include "base/error.h"
#include "jinja/arguments.h"

namespace tenth::jinja {
namespace {

using V = const Value&;
using Test = bool (*)(Interpreter&, V value, V argument);

struct Entry {
  size_t arguments;
  Test test;
};

int64_t remainder(V value, V divisor) {
  int64_t a = 0, b = 0;
  require(value.whole(a) && divisor.whole(b) && b != 0, ErrorKind::kInput, "expected whole numbers to divide, got {}",
          value.type_name());
  return b == -1 ? 0 : a % b;
}

bool is_mapping(V value) { return value.dict(); }
bool is_sequence(V value) { return value.text() || value.list() || value.dict() || value.is_undefined(); }
bool is_whole(V value) { return value.get<int64_t>(); }

bool has_case(Interpreter& run, V value, const char* name) {
  Arguments none;
  run.charge(value);
  return truth(run.call(run.attribute(Value(to_text(value)), name), none, name));
}

bool same(V a, V b) {
  const bool scalar = a.is_number() && b.is_number() && !a.get<double>();
  return std::string_view(a.type_name()) == b.type_name() && (scalar || a.is_none() || a.space()) && equal(a, b);
}

const std::unordered_map<std::string, Entry>& tests() {
  using R = Interpreter&;
  static const std::unordered_map<std::string, Entry> table = [] {
    std::unordered_map<std::string, Entry> t = {
        {"defined", {0, [](R, V v, V) { return !v.is_undefined(); }}},
        {"undefined", {0, [](R, V v, V) { return v.is_undefined(); }}},
        {"none", {0, [](R, V v, V) { return v.is_none(); }}},
        {"string", {0, [](R, V v, V) { return v.text() != nullptr; }}},
        {"number", {0, [](R, V v, V) { return v.is_number(); }}},
        {"integer", {0, [](R, V v, V) { return is_whole(v); }}},
        {"float", {0, [](R, V v, V) { return v.get<double>() != nullptr; }}},
        {"boolean", {0, [](R, V v, V) { return v.get<bool>() != nullptr; }}},
        {"true", {0, [](R, V v, V) { return v.get<bool>() && *v.get<bool>(); }}},
        {"false", {0, [](R, V v, V) { return v.get<bool>() && !*v.get<bool>(); }}},
        {"mapping", {0, [](R, V v, V) { return is_mapping(v); }}},
        {"sequence", {0, [](R, V v, V) { return is_sequence(v); }}},
        {"iterable", {0, [](R, V v, V) { return is_sequence(v) || v.loop() != nullptr; }}},
        {"callable", {0, [](R, V v, V) { return v.callable() != nullptr; }}},
        {"odd", {0, [](R, V v, V) { return remainder(v, int64_t(2)) != 0; }}},
        {"even", {0, [](R, V v, V) { return remainder(v, int64_t(2)) == 0; }}},
        {"lower", {0, [](R run, V v, V) { return has_case(run, v, "islower"); }}},
        {"upper", {0, [](R run, V v, V) { return has_case(run, v, "isupper"); }}},
        {"divisibleby", {1, [](R, V v, V a) { return remainder(v, a) == 0; }}},
        {"sameas", {1, [](R, V v, V a) { return same(v, a); }}},
        {"eq", {1, [](R, V v, V a) { return equal(v, a); }}},
        {"ne", {1, [](R, V v, V a) { return !equal(v, a); }}},
        {"lt", {1, [](R, V v, V a) { return less(v, a); }}},
        {"le", {1, [](R, V v, V a) { return less(v, a) || equal(v, a); }}},
        {"gt", {1, [](R, V v, V a) { return less(a, v); }}},
        {"ge", {1, [](R, V v, V a) { return less(a, v) || equal(v, a); }}},
        {"in", {1, [](R run, V v, V a) { return run.contains(a, v); }}},
    };
    const std::pair<const char*, const char*> kAliases[] = {
        {"==", "eq"}, {"equalto", "eq"}, {"!=", "ne"}, {"<", "lt"},           {"lessthan", "lt"},
        {"<=", "le"}, {">", "gt"},       {">=", "ge"}, {"greaterthan", "gt"},
    };
    for (const auto& [alias, name] : kAliases) t[alias] = t[name];
    return t;
  }();
  return table;
}

Value range(Interpreter& run, Arguments& given) {
  constexpr int64_t kLongest = 100'000;
  int64_t bounds[3] = {0, 0, 1};
  const size_t count = given.positional.size();
  require(count >= 1 && count <= 3 && given.named.empty(), ErrorKind::kInput, "range: expected 1 to 3 numbers");
  for (size_t i = 0; i < count; i++)
    require(given.positional[i].whole(bounds[count == 1 ? 1 : i]), ErrorKind::kInput,
            "range: expected whole numbers, got {}", given.positional[i].type_name());
  const auto [begin, end, step] = bounds;
  require(step != 0, ErrorKind::kInput, "range: expected a step other than 0");
  std::vector<Value> items;
  for (__int128 i = begin; step > 0 ? i < end : i > end; i += step) {
    require(int64_t(items.size()) < kLongest, ErrorKind::kInput, "range: expected at most {} numbers", kLongest);
    run.charge(1);
    items.push_back(int64_t(i));
  }
  return Value(std::move(items));
}

Value dict(Interpreter& run, Arguments& given) {
  Dict out;
  require(given.positional.size() <= 1, ErrorKind::kInput, "dict: expected at most one value and name=value");
  if (given.positional.size() == 1) {
    require(given.positional[0].dict(), ErrorKind::kInput, "dict: expected a dict, got {}",
            given.positional[0].type_name());
    run.charge(int64_t(given.positional[0].dict()->items.size()));
    out.items = given.positional[0].dict()->items;
  }
  for (auto& [name, value] : given.named) {
    run.charge(1 + int64_t(out.items.size() / 16));
    out.set(Value(name), std::move(value));
  }
  return Value(std::move(out));
}

Value make_namespace(Interpreter& run, Arguments& given) {
  auto space = std::make_shared<Namespace>();
  run.keep(space);
  const Value data = dict(run, given);
  for (const auto& [key, value] : data.dict()->items) {
    require(key.text(), ErrorKind::kInput, "namespace: expected names, got {}", key.type_name());
    space->items.emplace_back(key.text()->text(), value);
  }
  return space;
}

Value raise(Interpreter&, Arguments& given) {
  const std::string why = given.positional.empty() ? "" : to_text(given.positional[0]).text();
  fail(ErrorKind::kInput, "the template refuses: {}", why.substr(0, 1000));
}

Value now(Interpreter&, Arguments& given) {
  require(given.positional.size() == 1 && given.positional[0].text() && given.positional[0].text()->size() <= 200,
          ErrorKind::kInput, "strftime_now: expected a format of at most 200 bytes");
  const std::time_t seconds = std::time(nullptr);
  std::tm local{};
  localtime_r(&seconds, &local);
  char text[4096];
  return std::string(text, std::strftime(text, sizeof text, given.positional[0].text()->text().c_str(), &local));
}

}  // namespace

bool apply_test(Interpreter& run, const std::string& name, const Value& value, Arguments& arguments) {
  const auto it = tests().find(name);
  require(it != tests().end(), ErrorKind::kUnsupported, "the test {} is not supported", name);
  require(arguments.positional.size() == it->second.arguments && arguments.named.empty(), ErrorKind::kInput,
          "{}: expected {} arguments, got {}", name, it->second.arguments, arguments.positional.size());
  if (it->second.arguments > 0) run.charge(std::min(value.weight(), arguments.positional[0].weight()));
  return it->second.test(run, value, it->second.arguments > 0 ? arguments.positional[0] : Value());
}

Variables functions() {
  Variables all;
  auto add = [&](const char* name, Value (*call)(Interpreter&, Arguments&)) {
    all.emplace_back(name, std::make_shared<const Callable>(Callable{name, call}));
  };
  add("range", range);
  add("dict", dict);
  add("namespace", make_namespace);
  add("raise_exception", raise);
  add("strftime_now", now);
  return all;
}

}  // namespace tenth::jinja
