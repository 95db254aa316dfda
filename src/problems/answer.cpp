#include "problems/answer.h"

#include <algorithm>
#include <optional>

#include "problems/expression.h"
#include "problems/number.h"

namespace tenth {
namespace {

constexpr size_t kMaxAnswer = 4096;  // bytes; the longest right answers, lists of numbers, have a few hundred
constexpr std::string_view kTimes = "\xC3\x97";

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator)) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

// Answers of free text: spaces and the LaTeX marks that change no meaning left out.
std::string normalised(std::string_view text) {
  std::string result(text);
  for (const std::string_view mark : {" ", "$", "\\left", "\\right", "\\!", "\\,"})
    for (size_t at = result.find(mark); at != std::string::npos; at = result.find(mark, at))
      result.erase(at, mark.size());
  for (const std::string_view fraction : {"\\dfrac", "\\tfrac"})
    for (size_t at = result.find(fraction); at != std::string::npos; at = result.find(fraction, at))
      result.erase(at + 1, 1);
  return result;
}

bool same_number(std::string_view want, std::string_view got) {
  const auto right = parse_number(want);
  if (!right) return normalised(want) == normalised(got);
  const auto value = parse_number(got);
  return value && nearly_equal(*right, *value);
}

bool same_decimal(std::string_view want, std::string_view got) {
  const auto right = parse_decimal(want), value = parse_decimal(got);
  return right && value && *right == *value;
}

// [1, '2.5', "-3"]: the numbers, or nothing.
std::optional<std::vector<Rational>> parse_list(std::string_view text) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return std::nullopt;
  std::vector<Rational> numbers;
  for (std::string_view item : split(text.substr(1, text.size() - 2), ",")) {
    item = trim(item);
    const bool quoted =
        item.size() >= 2 && (item.front() == '\'' || item.front() == '"') && item.back() == item.front();
    const auto number = parse_decimal(quoted ? item.substr(1, item.size() - 2) : item);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

bool same_list(std::string_view want, std::string_view got) {
  const auto right = parse_list(want), value = parse_list(got);
  return right && value && *right == *value;
}

std::optional<std::vector<int64_t>> parse_factors(std::string_view text) {
  std::vector<int64_t> factors;
  for (const std::string_view part : split(text, kTimes)) {
    const auto factor = parse_decimal(trim(part));
    if (!factor || factor->den != 1) return std::nullopt;
    factors.push_back(factor->num);
  }
  std::sort(factors.begin(), factors.end());
  return factors;
}

bool same_factors(std::string_view want, std::string_view got) {
  const auto right = parse_factors(want), value = parse_factors(got);
  return right && value && *right == *value;
}

bool same_letters(std::string_view want, std::string_view got) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; };
  return std::equal(want.begin(), want.end(), got.begin(), got.end(),
                    [&](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace

bool is_right(const Problem& problem, std::string_view answer) {
  if (answer.size() > kMaxAnswer) return false;
  const std::string_view want = trim(problem.answer), got = trim(answer);
  switch (problem.compare) {
    case Compare::kText: return want == got;
    case Compare::kNumeric: return same_number(want, got);
    case Compare::kDecimal: return same_decimal(want, got);
    case Compare::kExpression: return solves_countdown(got, problem.numbers, problem.target);
    case Compare::kSignedExpression:
      return solves_countdown(got, problem.numbers, problem.target, {.unary_minus = true});
    case Compare::kList: return same_list(want, got);
    case Compare::kFactors: return same_factors(want, got);
    case Compare::kIgnoreCase: return same_letters(want, got);
  }
  return false;
}

}  // namespace tenth
