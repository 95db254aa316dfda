// Exact numbers for verifiers: rationals of 64-bit integers, every step checked for overflow, and the readers that turn
// the ways people write a number into one. Nothing here rounds, so "right" never depends on floating point.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace tenth {

// Lowest terms, den > 0, |num| and den below 2^63. Operations return nothing on overflow or division by zero.
struct Rational {
  int64_t num = 0;
  int64_t den = 1;
  bool operator==(const Rational&) const = default;
};

std::optional<Rational> add(Rational a, Rational b);
std::optional<Rational> subtract(Rational a, Rational b);
std::optional<Rational> multiply(Rational a, Rational b);
std::optional<Rational> divide(Rational a, Rational b);

// |a - b| <= 1e-6, decided without rounding.
bool nearly_equal(Rational a, Rational b);

// Text without the white space (ASCII) at both ends.
std::string_view trim(std::string_view text);

// "12", "-3.50", "+01,000.00": sign, digits with commas only between groups of three, at most one point, at most 18
// significant digits. No exponent, no white space inside.
std::optional<Rational> parse_decimal(std::string_view text);

// A decimal, "a/b", "\frac{a}{b}" (also dfrac, tfrac), with $ signs, \text{…}, percent and degree signs, a final full
// stop and unit words behind the number left out (normalisation of math-evaluation-harness and Qwen2.5-Math's grader).
// Texts above 256 bytes are not numbers.
std::optional<Rational> parse_number(std::string_view text);

}  // namespace tenth
