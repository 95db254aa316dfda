// UTF-8 at the border: text that comes in is made well formed once, so that everything behind needs no
// checks; bytes of tokens that go out are made well formed in the same way.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace tenth {

// Appends bytes to out; each maximal ill-formed part becomes one U+FFFD (Unicode 15, section 3.9, "substitution of
// maximal subparts": what Python's errors="replace" and Rust's from_utf8_lossy do). Unless final, an unfinished
// character at the end, which later bytes could complete, is left. Returns the number of bytes taken.
size_t append_well_formed(std::string_view bytes, bool final, std::string& out);

// The length of the longest prefix of bytes that is well formed: bytes.size() where all is.
size_t well_formed_prefix(std::string_view bytes);

// The code point at position, which moves behind it. text must be well formed and position below its size.
char32_t next_code_point(std::string_view text, size_t& position);

void append_code_point(char32_t code_point, std::string& out);

}  // namespace tenth
