// Deterministic automata over code points: what a string of JSON may hold, a number's spelling, a rule's key. They are
// small and closed under "and", "or" and "not", which is how constraints on one string are put together.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tenth {

// low..high, both included.
struct CharRange {
  char32_t low, high;
  bool operator==(const CharRange&) const = default;
};

constexpr char32_t kLastCodePoint = 0x10FFFF;
// Every code point that UTF-8 can carry (no surrogates).
constexpr CharRange kAllChars[2] = {{0, 0xD7FF}, {0xE000, kLastCodePoint}};
// Behind them: tokens that are no text but marks (vocabulary.h), each as one character of its own.
constexpr char32_t kFirstMark = kLastCodePoint + 1, kLastMark = kFirstMark + 0xFF;

// ranges sorted and joined, surrogates left out; negated: all other code points.
std::vector<CharRange> normal_ranges(std::vector<CharRange> ranges, bool negated);

struct CharDfa {
  struct Edge {
    char32_t low, high;
    uint32_t to;
  };
  struct State {
    std::vector<Edge> edges;  // sorted, disjoint; what none covers is refused
    bool accepts = false;
  };
  std::vector<State> states;  // 0 is the start; never empty

  // States beyond which an automaton is refused (Error kInput).
  static constexpr size_t kMaxStates = 20000;

  static CharDfa any_text();                              // every text
  static CharDfa of_lengths(uint64_t min, uint64_t max);  // texts of min..max characters; max bounded by kMaxStates
  static CharDfa of_texts(std::span<const std::string> texts);  // these (UTF-8, well formed), no others

  bool matches(const std::string& utf8) const;
  bool empty() const;  // matches no text. Only after trimmed(), which all functions below do.
};

CharDfa both(const CharDfa& a, const CharDfa& b);
CharDfa either(const CharDfa& a, const CharDfa& b);
CharDfa without(const CharDfa& a, const CharDfa& b);
// Without states from which no text is accepted.
CharDfa trimmed(const CharDfa& dfa);

}  // namespace tenth
