// Arithmetic expressions written by a model, read by a recursive-descent parser and computed exactly. Nothing is ever
// handed to an interpreter or a shell. Text from a model is hostile: length, depth and digits have limits, so that a
// megabyte of "(" costs nothing.
//
//   sum     = ["-"] product { ("+" | "-") product }      the leading minus only where the rules allow it
//   product = atom { ("*" | "/") atom }
//   atom    = number | "(" sum ")"
//   number  = digit { digit }                            no leading zero, no point; spaces are allowed between tokens
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "problems/number.h"

namespace tenth {

struct ExpressionRules {
  size_t max_length = 256;   // bytes
  int max_depth = 32;        // open parentheses at once
  int max_digits = 9;        // of one number
  bool unary_minus = false;  // "-3+5" and "2*(-1+4)"; never "2--1"
};

struct Expression {
  std::string error;             // empty where the text is an expression with a value; else why not
  Rational value;                // exact
  std::vector<int64_t> numbers;  // as written, from left to right

  bool ok() const { return error.empty(); }
};

Expression evaluate(std::string_view text, const ExpressionRules& rules = {});

// The verifier of countdown (TinyZero's rule, hardened): the text is an expression, uses exactly the given numbers,
// each once, and its value is the target. The numbers may come in any order.
bool solves_countdown(std::string_view text, const std::vector<int64_t>& numbers, int64_t target,
                      const ExpressionRules& rules = {});

}  // namespace tenth
