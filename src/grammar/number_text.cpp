#include "grammar/number_text.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "grammar/regex.h"

namespace tenth {
namespace {

constexpr int kDigits = 20;

struct Decimal {
  std::string whole, fraction;  // digits; whole without leading zeros (but "0"), fraction without trailing ones
  bool zero() const { return whole == "0" && fraction.empty(); }
};

// Of a value of at most kDigits digits before the point, not negative.
Decimal decimal_of(double value) {
  // The shortest text that reads back, so that 0.1 is a tenth.
  std::string text = fmt::format("{:.{}f}", value, 0);
  if (std::stod(text) != value)
    for (int places = 1; places <= kDigits && std::stod(text) != value; places++)
      text = fmt::format("{:.{}f}", value, places);
  const size_t point = text.find('.');
  Decimal result{text.substr(0, point), point == text.npos ? "" : text.substr(point + 1)};
  while (!result.fraction.empty() && result.fraction.back() == '0') result.fraction.pop_back();
  return result;
}

std::string range(char low, char high) {
  if (low > high) return "";
  return low == high ? std::string(1, low) : std::string("[") + low + "-" + high + "]";
}

std::string digits(size_t n) { return n == 0 ? "" : "[0-9]{" + std::to_string(n) + "}"; }

void add(std::string& choices, const std::string& choice) { choices += (choices.empty() ? "" : "|") + choice; }

// Whole numbers and fractions above or below a text of digits of the same place: the first k digits, then another one.
std::string beyond(const std::string& text, bool above, bool leading, const std::string& tail_of_each, bool fixed) {
  std::string choices;
  for (size_t k = 0; k < text.size(); k++) {
    const char first = leading && k == 0 && text.size() > 1 ? '1' : '0';
    const std::string other = above ? range(char(text[k] + 1), '9') : range(first, char(text[k] - 1));
    if (!other.empty()) add(choices, text.substr(0, k) + other + (fixed ? digits(text.size() - k - 1) : tail_of_each));
  }
  return choices;
}

// x >= bound (or >), x not negative.
CharDfa at_least(const Decimal& bound, bool exclusive) {
  const std::string any = "(?:\\.[0-9]+)?";
  std::string whole = beyond(bound.whole, true, true, "", true);
  add(whole, "[1-9]" + digits(bound.whole.size()) + "[0-9]*");
  std::string equal;
  if (bound.fraction.empty()) {
    equal = exclusive ? "\\.[0-9]*[1-9][0-9]*" : any;
  } else {
    equal = beyond(bound.fraction, true, false, "[0-9]*", false);
    add(equal, bound.fraction + (exclusive ? "[0-9]*[1-9][0-9]*" : "[0-9]*"));
    equal = "\\.(?:" + equal + ")";
  }
  return regex_dfa("^(?:(?:" + whole + ")" + any + "|" + bound.whole + "(?:" + equal + "))$", "number");
}

// x <= bound (or <), x not negative.
CharDfa at_most(const Decimal& bound, bool exclusive) {
  std::string whole = beyond(bound.whole, false, true, "", true);
  if (bound.whole.size() > 1) add(whole, "0|[1-9][0-9]{0," + std::to_string(bound.whole.size() - 2) + "}");
  std::string equal;
  if (bound.fraction.empty()) {
    if (!exclusive) equal = "(?:\\.0+)?";
  } else {
    std::string below = beyond(bound.fraction, false, false, "[0-9]*", false);
    for (size_t k = 1; k < bound.fraction.size(); k++) add(below, bound.fraction.substr(0, k));
    if (!exclusive) add(below, bound.fraction + "0*");
    equal = below.empty() ? "" : "(?:\\.(?:" + below + "))?";
    if (below.empty()) equal = "(?:)";
  }
  std::string all;
  if (!whole.empty()) add(all, "(?:" + whole + ")(?:\\.[0-9]+)?");
  if (!equal.empty()) add(all, bound.whole + equal);
  if (all.empty()) return CharDfa{{CharDfa::State{}}};
  return regex_dfa("^(?:" + all + ")$", "number");
}

// Texts of digits whose value is a multiple of k / 10^places: states are (places read, remainder), the sign apart.
CharDfa multiples(uint32_t k, uint32_t places) {
  CharDfa dfa;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> ids;
  std::vector<std::pair<uint32_t, uint32_t>> keys;  // place 0: none yet; 1: whole digits; 2: the point; 2 + n: n digits
  auto id_of = [&](uint32_t place, uint32_t rest) {
    const auto [at, fresh] = ids.try_emplace({place, rest}, uint32_t(keys.size()));
    if (fresh) keys.emplace_back(place, rest);
    return at->second;
  };
  id_of(0, 0);
  for (size_t i = 0; i < keys.size(); i++) {
    const auto [place, rest] = keys[i];
    CharDfa::State state;
    if (place == 0) state.edges.push_back({'-', '-', 0});
    if (place == 1 && places > 0) state.edges.push_back({'.', '.', id_of(2, rest)});
    uint64_t scaled = rest;
    for (uint32_t n = place < 2 ? 0 : place - 2; n < places; n++) scaled = scaled * 10 % k;
    state.accepts = (place == 1 || place > 2) && scaled % k == 0;
    if (place < 2 + places)
      for (char32_t d = '0'; d <= '9'; d++)
        state.edges.push_back({d, d, id_of(place < 2 ? 1 : place + 1, (rest * 10 + (d - '0')) % k)});
    dfa.states.push_back(std::move(state));
  }
  return trimmed(dfa);
}

CharDfa step_dfa(double step, const std::string& where) {
  uint32_t places = 0;
  double scaled = step;
  while (places < 12 && std::abs(scaled - std::round(scaled)) > 1e-9 * scaled) scaled = step * std::pow(10, ++places);
  scaled = std::round(scaled);
  require(step > 0 && scaled >= 1 && scaled <= 1000 && places < 12, ErrorKind::kUnsupported,
          "{}: multipleOf {} is not supported: expected 1 to 1000, or such a number over a power of ten", where, step);
  return multiples(uint32_t(scaled), places);
}

// The texts of dfa with a minus before each.
CharDfa negated(const CharDfa& dfa) {
  CharDfa made;
  made.states.push_back({{{'-', '-', 1}}, false});
  for (CharDfa::State state : dfa.states) {
    for (CharDfa::Edge& edge : state.edges) edge.to++;
    made.states.push_back(std::move(state));
  }
  return trimmed(made);
}

constexpr double kLargest = 1e20;

// The values of one sign within the limits; least and most are of the absolute value.
CharDfa one_sign(const CharDfa& shape, std::optional<NumberLimits::Bound> least,
                 std::optional<NumberLimits::Bound> most) {
  const CharDfa nothing{{CharDfa::State{}}};
  CharDfa dfa = shape;
  if (least && (least->value > 0 || (least->value == 0 && least->exclusive))) {
    if (least->value >= kLargest) return nothing;
    dfa = both(dfa, at_least(decimal_of(least->value), least->exclusive));
  }
  if (most) {
    if (most->value < 0 || (most->value == 0 && most->exclusive)) return nothing;
    if (most->value < kLargest) dfa = both(dfa, at_most(decimal_of(most->value), most->exclusive));
  }
  return dfa;
}

}  // namespace

CharDfa number_dfa(const NumberLimits& limits, NumberKind kind, const std::string& where) {
  const std::string whole = "(?:0|[1-9][0-9]{0,19})";
  if (limits.unbounded() && kind == NumberKind::kAny)
    return regex_dfa("^-?" + whole + "(?:\\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?$", where);
  std::string text = kind == NumberKind::kWhole ? "(?:0|[1-9][0-9]{0,17})" : whole;  // fits 64 bits, as clients expect
  if (kind == NumberKind::kAny) text += "(?:\\.[0-9]{1,20})?";
  if (kind == NumberKind::kFractionsOnly) text += "\\.[0-9]{0,19}[1-9]";
  const CharDfa shape = regex_dfa("^" + text + "$", where);
  auto mirrored = [](const std::optional<NumberLimits::Bound>& bound) {
    return bound ? std::optional<NumberLimits::Bound>({0.0 - bound->value, bound->exclusive})  // no minus zero
                 : std::nullopt;
  };
  CharDfa dfa = either(one_sign(shape, limits.least, limits.most),
                       negated(one_sign(shape, mirrored(limits.most), mirrored(limits.least))));
  // Small numbers as programs write them (1e-06): between 0 and 1, so known to lie within bounds that hold all of that.
  if (kind == NumberKind::kAny && limits.steps.empty() && limits.excluded.empty()) {
    const CharDfa small = regex_dfa("^[1-9](?:\\.[0-9]{1,20})?[eE]-(?:0?[1-9]|[1-9][0-9])$", where);
    const double least = limits.least ? limits.least->value : -1, most = limits.most ? limits.most->value : 1;
    if (least <= 0 && most >= 1) dfa = either(dfa, small);
    if (least <= -1 && most >= 0) dfa = either(dfa, negated(small));
  }
  for (double value : limits.excluded) {
    if (std::abs(value) >= kLargest) continue;
    const Decimal d = decimal_of(std::abs(value));
    dfa = without(dfa, regex_dfa("^" +
                                     std::string(value < 0    ? "-"
                                                 : value == 0 ? "-?"
                                                              : "") +
                                     d.whole + (d.fraction.empty() ? "(?:\\.0+)?" : "\\." + d.fraction + "0*") + "$",
                                 where));
  }
  for (double step : limits.steps) dfa = both(dfa, step_dfa(step, where));
  return dfa;
}

}  // namespace tenth
