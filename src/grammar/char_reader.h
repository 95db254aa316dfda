// Bytes to code points, a byte at a time, in a state of 32 bits: plain UTF-8, or the inside of a JSON string, where a
// character may also be spelled as an escape. An automaton over characters so reads bytes, and tokens may end anywhere.
#pragma once
#include <cstdint>

#include "grammar/char_dfa.h"

namespace tenth {

// How the characters of a state are spelled.
enum class Spelling : uint8_t {
  kPlain,   // UTF-8; a mark (char_dfa.h) is the byte 0xFF, which UTF-8 has not, and its number
  kQuoted,  // between the quotes of a JSON string: " and control characters only as escapes, any character as \uXXXX
};

struct CharStep {
  enum class Kind : uint8_t { kRefused, kUnfinished, kDone } kind = Kind::kRefused;
  uint32_t partial = 0;                      // kUnfinished: to be given with the next byte
  char32_t code_point = 0;                   // kDone
  CharRange possible[2] = {{1, 0}, {1, 0}};  // kUnfinished: what the character can still become; empty where low > high
};

// partial: 0 at the beginning of a character. Of ill-formed UTF-8 and unpaired surrogates no byte too many is taken.
CharStep read_byte(Spelling spelling, uint32_t partial, uint8_t byte);

}  // namespace tenth
