// Arithmetic and slices as Python does them; whole numbers stay within 64 bits or are refused.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "jinja/characters.h"
#include "jinja/interpreter.h"

namespace tenth::jinja {
namespace {

[[noreturn]] void no_such(const std::string& op, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b})
    if (const Undefined* undefined = value->get<Undefined>())
      fail(ErrorKind::kInput, "{} is undefined", undefined->what ? *undefined->what : "a value");
  fail(ErrorKind::kInput, "there is no {} {} {}", a.type_name(), op, b.type_name());
}

// result: by reference, as the check that fills it in is an argument too.
int64_t fits(bool overflow, const int64_t& result) {
  require(!overflow, ErrorKind::kInput, "expected a whole number of 64 bits as the result");
  return result;
}

void require_divisor(bool ok) { require(ok, ErrorKind::kInput, "expected a divisor other than 0"); }

int64_t floor_division(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t whole_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (base == 0 || base == 1 || base == -1) return base == 0 ? exponent == 0 : base == 1 || exponent % 2 == 0 ? 1 : -1;
  for (; exponent > 0; exponent--) fits(__builtin_mul_overflow(result, base, &result), result);
  return result;
}

Value whole(const std::string& op, int64_t a, int64_t b) {
  int64_t r = 0;
  if (op == "+") return fits(__builtin_add_overflow(a, b, &r), r);
  if (op == "-") return fits(__builtin_sub_overflow(a, b, &r), r);
  if (op == "*") return fits(__builtin_mul_overflow(a, b, &r), r);
  if (op == "**" && b >= 0) return whole_power(a, b);
  if (op == "**") return std::pow(double(a), double(b));
  require_divisor(b != 0);
  if (op == "/") return double(a) / double(b);
  if (b == -1) return op == "%" ? 0 : fits(__builtin_sub_overflow(int64_t(0), a, &r), r);
  const int64_t quotient = floor_division(a, b);
  return op == "//" ? quotient : a - quotient * b;
}

double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest == 0 ? std::copysign(0.0, b) : rest;
}

Value real(const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") {
    const double power = std::pow(a, b);
    require(std::isfinite(power) || !std::isfinite(a) || !std::isfinite(b), ErrorKind::kInput,
            "expected a finite power");
    return power;
  }
  require_divisor(b != 0);
  if (op == "/") return a / b;
  if (op == "//") return std::floor((a - float_modulo(a, b)) / b + 0.5);
  return float_modulo(a, b);
}

Value repeated(Interpreter& run, const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (const MarkedText* text = value.text()) {
    const bool fits = text->empty() || uint64_t(times) <= run.text_limit() / text->size();
    require(fits, ErrorKind::kInput, "expected a text of at most {} bytes", run.text_limit());
    MarkedText out;
    if (text->empty()) return out;
    run.charge(times + times * int64_t(text->size()) / 64);
    for (int64_t i = 0; i < times; i++) out.append(*text);
    return out;
  }
  std::vector<Value> items;
  const auto& once = value.list()->items;
  if (once.empty()) return Value(items, value.list()->tuple);
  for (int64_t i = 0; i < times; i++) {
    run.charge(int64_t(once.size()));
    items.insert(items.end(), once.begin(), once.end());
  }
  return Value(std::move(items), value.list()->tuple);
}

Value joined(Interpreter& run, const MarkedText& a, const MarkedText& b) {
  require(a.size() + b.size() <= run.text_limit(), ErrorKind::kInput, "expected a text of at most {} bytes",
          run.text_limit());
  run.charge(int64_t((a.size() + b.size()) / 64));
  MarkedText out = a;
  out.append(b);
  return out;
}

// The elements that a slice of something with size elements takes, as Python's slice.indices.
struct Range {
  int64_t begin, end, step;

  Range(int64_t size, const Value& first, const Value& last, const Value& by) {
    step = bound(by, 1);
    require(step != 0, ErrorKind::kInput, "expected a step other than 0");
    const int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? size - 1 : size;
    auto clamp = [&](int64_t at) { return std::clamp(at < 0 ? at + size : at, lowest, highest); };
    begin = is_missing(first) ? (step < 0 ? highest : lowest) : clamp(bound(first, 0));
    end = is_missing(last) ? (step < 0 ? lowest : highest) : clamp(bound(last, 0));
  }
  static bool is_missing(const Value& value) { return value.is_none(); }
  static int64_t bound(const Value& value, int64_t otherwise) {
    if (is_missing(value)) return otherwise;
    int64_t room;
    require(value.whole(room), ErrorKind::kInput, "expected whole numbers in a slice, got {}", value.type_name());
    return std::clamp<int64_t>(room, -(int64_t(1) << 40), int64_t(1) << 40);
  }
  template <class Take>
  void each(const Take& take) const {
    for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) take(size_t(i));
  }
};

MarkedText text_slice(const MarkedText& text, const Range& range) {
  if (range.step == 1) {
    const size_t begin = offset_of(text.text(), size_t(range.begin));
    return text.part(begin, std::max(begin, offset_of(text.text(), size_t(range.end))));
  }
  std::vector<size_t> offsets;
  for (size_t at = 0; at < text.size(); at++)
    if ((uint8_t(text.text()[at]) & 0xC0) != 0x80) offsets.push_back(at);
  offsets.push_back(text.size());
  MarkedText out;
  range.each([&](size_t i) { out.append_part(text, offsets[i], offsets[i + 1]); });
  return out;
}

}  // namespace

Value binary(Interpreter& run, const std::string& op, const Value& a, const Value& b) {
  int64_t x, y;
  if (a.whole(x) && b.whole(y)) return whole(op, x, y);
  if (a.is_number() && b.is_number()) return real(op, a.number(), b.number());
  if (op == "+" && a.text() && b.text()) return joined(run, *a.text(), *b.text());
  if (op == "+" && a.list() && b.list() && a.list()->tuple == b.list()->tuple) {
    run.charge(int64_t(a.list()->items.size() + b.list()->items.size()));
    std::vector<Value> items = a.list()->items;
    items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
    return Value(std::move(items), a.list()->tuple);
  }
  if (op == "*" && (a.text() || a.list()) && b.whole(y)) return repeated(run, a, y);
  if (op == "*" && (b.text() || b.list()) && a.whole(x)) return repeated(run, b, x);
  no_such(op, a, b);
}

Value slice_of(Interpreter& run, const Value& value, const Value& begin, const Value& end, const Value& step) {
  if (const MarkedText* text = value.text()) {
    run.charge(1 + int64_t(text->size() / 16));
    return text_slice(*text, Range(int64_t(count_characters(text->text())), begin, end, step));
  }
  const List* list = value.list();
  if (!list) return Value::undefined("a slice of " + std::string(value.type_name()));
  const Range range(int64_t(list->items.size()), begin, end, step);
  std::vector<Value> items;
  range.each([&](size_t i) { items.push_back(list->items[i]); });
  run.charge(int64_t(items.size()));
  return Value(std::move(items), list->tuple);
}

}  // namespace tenth::jinja
