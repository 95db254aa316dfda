// Reading the arguments of a call.
#pragma once
#include <span>

#include "jinja/interpreter.h"

namespace tenth::jinja {

// Puts the arguments in the order of the parameters' names; those not given are null. Throws kInput for one too many,
// one given twice, or an unknown name.
class Parameters {
 public:
  Parameters(const std::string& function, const Arguments& arguments, std::span<const char* const> names);

  bool has(size_t i) const { return i < values_.size() && values_[i]; }
  const Value& at(size_t i) const;  // throws kInput where it is not given
  const MarkedText& text(size_t i) const;
  std::string string(size_t i, const std::string& otherwise) const;  // otherwise, too, for none
  int64_t whole(size_t i, int64_t otherwise) const;
  bool boolean(size_t i, bool otherwise) const;

 private:
  [[noreturn]] void wrong(size_t i, const char* expected) const;

  const std::string& function_;
  std::span<const char* const> names_;
  std::vector<const Value*> values_;
};

}  // namespace tenth::jinja
