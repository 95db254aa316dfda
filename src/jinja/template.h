// The subset of Jinja2 that chat templates use: if, for (with else, if, break, continue), set, macro, call, filter,
// with, raw; expressions with Python's values; the filters, tests and methods of filters.cpp, tests.cpp and
// methods.cpp; the functions range, dict, namespace, raise_exception and strftime_now. Blocks are trimmed as the
// Hugging Face libraries do it.
//
// A template is a file from outside: it sees the variables it is given and nothing else, it changes none of them, and
// its steps, depth, output and time are bounded.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/marked_text.h"
#include "jinja/value.h"

namespace tenth::jinja {

struct Limits {
  int64_t steps = 5'000'000;         // operations, and for texts and lists one for each 64 bytes or element handled
  size_t output = size_t(16) << 20;  // bytes
  int milliseconds = 2000;
};

using Variables = std::vector<std::pair<std::string, Value>>;

// Immutable and cheap to copy; may be used by many threads at once.
class Template {
 public:
  static constexpr size_t kLongest = size_t(1) << 20;  // bytes of source

  // where stands in errors: "<where>: line N: …". Throws kInput for what is no template, kUnsupported for a tag that is
  // not built.
  Template(std::string_view source, std::string where);

  // The text, every part marked with whose it is: the template's own words kFrame, those of variables as they are
  // marked. Throws kInput where the template refuses (raise_exception), breaks, or goes over a limit; kUnsupported for
  // a filter, test or method that is not built.
  MarkedText render(const Variables& variables, const Limits& limits = {}) const;

 private:
  struct Parsed;
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace tenth::jinja
