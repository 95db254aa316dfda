#include "jinja/arguments.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace tenth::jinja {

Parameters::Parameters(const std::string& function, const Arguments& arguments, std::span<const char* const> names)
    : function_(function), names_(names), values_(names.size()) {
  require(arguments.positional.size() <= names.size(), ErrorKind::kInput, "{}: expected at most {} arguments, got {}",
          function, names.size(), arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); i++) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find(names.begin(), names.end(), std::string_view(name));
    require(it != names.end(), ErrorKind::kInput, "{}: no argument is called {}", function, name);
    const size_t i = size_t(it - names.begin());
    require(!values_[i], ErrorKind::kInput, "{}: {} is given twice", function, name);
    values_[i] = &value;
  }
}

void Parameters::wrong(size_t i, const char* expected) const {
  fail(ErrorKind::kInput, "{}: {}: expected {}, got {}", function_, names_[i], expected,
       has(i) ? values_[i]->type_name() : "nothing");
}

const Value& Parameters::at(size_t i) const {
  if (!has(i)) wrong(i, "a value");
  return *values_[i];
}

const MarkedText& Parameters::text(size_t i) const {
  if (!has(i) || !values_[i]->text()) wrong(i, "a string");
  return *values_[i]->text();
}

std::string Parameters::string(size_t i, const std::string& otherwise) const {
  return !has(i) || values_[i]->is_none() ? otherwise : text(i).text();
}

int64_t Parameters::whole(size_t i, int64_t otherwise) const {
  if (!has(i) || values_[i]->is_none()) return otherwise;
  int64_t room;
  if (!values_[i]->whole(room)) wrong(i, "a whole number");
  return room;
}

bool Parameters::boolean(size_t i, bool otherwise) const { return has(i) ? truth(*values_[i]) : otherwise; }

}  // namespace tenth::jinja
