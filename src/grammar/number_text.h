// The spellings of numbers between bounds, as an automaton over their digits.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "grammar/char_dfa.h"

namespace tenth {

struct NumberLimits {
  struct Bound {
    double value;
    bool exclusive;
  };
  std::optional<Bound> least, most;
  std::vector<double> steps;  // multipleOf
  std::vector<double> excluded;
  bool unbounded() const { return !least && !most && steps.empty() && excluded.empty(); }
};

enum class NumberKind { kWhole, kAny, kFractionsOnly };

// At most 20 digits before and 20 behind the point, 18 of whole numbers; an exponent (two digits) only of unbounded
// numbers of kind kAny. May be empty. Throws kUnsupported, beginning with where, for a step that is no decimal of at
// most three digits.
CharDfa number_dfa(const NumberLimits& limits, NumberKind kind, const std::string& where);

}  // namespace tenth
