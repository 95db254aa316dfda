// Lines of standard input: what comes from outside may be one endless line.
#pragma once
#include <istream>
#include <string>

#include "base/error.h"

namespace tenth {

inline constexpr size_t kMaxLine = size_t(64) << 20;  // bytes

// The next line without its newline; false at the end of the input. number: of the line, for the error (kInput) where
// it has more than kMaxLine bytes.
inline bool next_line(std::istream& in, std::string& line, size_t number) {
  line.clear();
  std::streambuf& buffer = *in.rdbuf();
  int c = buffer.sbumpc();
  if (c == EOF) return false;
  for (; c != EOF && c != '\n'; c = buffer.sbumpc()) {
    require(line.size() < kMaxLine, ErrorKind::kInput, "line {}: expected at most {} bytes, got more", number,
            kMaxLine);
    line += char(c);
  }
  return true;
}

}  // namespace tenth
