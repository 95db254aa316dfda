// Regular expressions of JSON Schema (the ECMA-262 subset that is regular) to automata over code points. Groups,
// classes, greedy and lazy repetition, anchors; what is not regular (back references, look-around, \b) is refused by
// name.
#pragma once
#include <string>
#include <string_view>

#include "grammar/char_dfa.h"

namespace tenth {

// Texts of which some part matches, as `pattern` means it; ^ and $ bind to the ends of the text. Throws kInput for a
// broken or too large pattern (CharDfa::kMaxStates), kUnsupported for what is not regular; the message begins with
// where. The work is bounded: a hostile pattern is refused, not waited for.
CharDfa regex_dfa(std::string_view pattern, const std::string& where);

}  // namespace tenth
