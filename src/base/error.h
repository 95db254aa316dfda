// The one exception type. A message says where, what was expected, what came and what to do next, in one line.
#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace tenth {

enum class ErrorKind {
  kInput,        // a file, option or request from outside is wrong: the user can mend it
  kIo,           // the system refused: disk full, no permission, no such file
  kNumeric,      // NaN or infinity where a finite number is needed
  kUnsupported,  // a thing this build or this version does not do
  kInternal,     // an invariant of this code broke: a bug
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(kind, fmt::format(text, std::forward<Args>(args)...));
}

// For conditions that input from outside can break. Invariants of our own code use it too, with kInternal.
template <class... Args>
void require(bool ok, ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
  if (!ok) [[unlikely]]
    fail(kind, text, std::forward<Args>(args)...);
}

}  // namespace tenth
