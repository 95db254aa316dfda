#include "problems/number.h"

#include <limits>
#include <numeric>
#include <string>

namespace tenth {
namespace {

using Wide = __int128;  // holds the product of two 64-bit integers, and the sum of two such products

std::optional<Rational> reduced(Wide num, Wide den) {
  if (den == 0) return std::nullopt;
  if (den < 0) num = -num, den = -den;
  Wide a = num < 0 ? -num : num, b = den;
  while (b != 0) {
    const Wide rest = a % b;
    a = b;
    b = rest;
  }
  num /= a, den /= a;  // a >= 1, for den is not 0
  constexpr Wide kLimit = std::numeric_limits<int64_t>::max();
  if (num > kLimit || num < -kLimit || den > kLimit) return std::nullopt;
  return Rational{int64_t(num), int64_t(den)};
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

void erase_all(std::string& text, std::string_view what) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) text.erase(at, what.size());
}

bool erase_suffix(std::string& text, std::string_view what) {
  if (!text.ends_with(what)) return false;
  text.resize(text.size() - what.size());
  return true;
}

// Drops "\text{ cm}" and the like; an unclosed brace leaves the text as it is.
void erase_units_in_text(std::string& text) {
  for (const std::string_view command : {"\\text{", "\\mathrm{", "\\mbox{"}) {
    for (size_t at = text.find(command); at != std::string::npos; at = text.find(command, at)) {
      const size_t end = text.find('}', at);
      if (end == std::string::npos) return;
      text.erase(at, end - at + 1);
    }
  }
}

// "72 clips" -> "72": only where everything behind the first space is letters.
void erase_unit_words(std::string& text) {
  const size_t space = text.find(' ');
  if (space == std::string::npos || space == 0 || !is_digit(text[space - 1])) return;
  for (size_t i = space; i < text.size(); i++)
    if (!is_letter(text[i]) && text[i] != ' ') return;
  text.resize(space);
}

std::string without_decoration(std::string_view raw) {
  std::string text(trim(raw));
  for (const std::string_view mark : {"\\!", "\\,", "\\$", "$"}) erase_all(text, mark);
  erase_units_in_text(text);
  text = trim(text);
  if (text.ends_with('.')) text.pop_back();
  for (const std::string_view mark : {"\\%", "%", "^\\circ", "^{\\circ}", "\xC2\xB0"})
    if (erase_suffix(text, mark)) break;
  text = trim(text);
  erase_unit_words(text);
  return text;
}

std::optional<Rational> quotient(std::string_view above, std::string_view below) {
  const auto a = parse_decimal(trim(above)), b = parse_decimal(trim(below));
  return a && b ? divide(*a, *b) : std::nullopt;
}

// "\frac{a}{b}", the whole of the text.
std::optional<Rational> latex_fraction(std::string_view text) {
  text.remove_prefix(text.find('{') + 1);
  const size_t middle = text.find("}{");
  if (middle == std::string_view::npos || !text.ends_with('}')) return std::nullopt;
  return quotient(text.substr(0, middle), text.substr(middle + 2, text.size() - middle - 3));
}

}  // namespace

std::optional<Rational> add(Rational a, Rational b) {
  return reduced(Wide(a.num) * b.den + Wide(b.num) * a.den, Wide(a.den) * b.den);
}
std::optional<Rational> subtract(Rational a, Rational b) { return add(a, {-b.num, b.den}); }
std::optional<Rational> multiply(Rational a, Rational b) { return reduced(Wide(a.num) * b.num, Wide(a.den) * b.den); }
std::optional<Rational> divide(Rational a, Rational b) { return reduced(Wide(a.num) * b.den, Wide(a.den) * b.num); }

bool nearly_equal(Rational a, Rational b) {
  const auto gap = subtract(a, b);
  if (!gap) return false;
  return Wide(gap->num < 0 ? -gap->num : gap->num) * 1'000'000 <= gap->den;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<Rational> parse_decimal(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  int64_t value = 0, scale = 1;
  int significant = 0, digits = 0, group = 0;  // group: digits since the last comma (or since the start)
  bool comma = false, point = false;
  for (const char c : text) {
    if (is_digit(c)) {
      if (value != 0 || c != '0') significant++;
      if (significant > 18 || (point && scale >= 1'000'000'000'000'000'000)) return std::nullopt;
      value = value * 10 + (c - '0');
      if (point) scale *= 10;
      digits++, group++;
    } else if (c == ',' && !point && group >= 1 && (comma ? group == 3 : group <= 3)) {
      comma = true, group = 0;
    } else if (c == '.' && !point && (!comma || group == 3)) {
      point = true;
    } else {
      return std::nullopt;
    }
  }
  if (digits == 0 || (comma && !point && group != 3)) return std::nullopt;
  return reduced(negative ? -value : value, scale);
}

std::optional<Rational> parse_number(std::string_view raw) {
  if (raw.size() > 256) return std::nullopt;
  const std::string clean = without_decoration(raw);
  std::string_view text = clean;
  if (const auto value = parse_decimal(text)) return value;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::optional<Rational> value;
  if (text.starts_with("\\frac{") || text.starts_with("\\dfrac{") || text.starts_with("\\tfrac{")) {
    value = latex_fraction(text);
  } else if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    value = quotient(text.substr(0, slash), text.substr(slash + 1));
  }
  if (value && negative) value->num = -value->num;
  return value;
}

}  // namespace tenth
