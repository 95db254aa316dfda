// A JSON value that knows where it stands, so that an error names file, field, what was expected and what came.
#pragma once
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace tenth {

class Field {
 public:
  // The value must outlive the field. where: the file, and behind it the path of the value in the file.
  Field(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  const Json& json() const { return *value_; }
  const std::string& where() const { return where_; }
  bool is_null() const { return value_->is_null(); }

  bool has(const char* key) const {
    if (!value_->is_object()) wrong("an object");
    auto it = value_->find(key);
    return it != value_->end() && !it->is_null();
  }

  Field at(const char* key) const {
    static const Json kNothing;
    if (!value_->is_object()) wrong("an object");
    auto it = value_->find(key);
    return Field(it == value_->end() ? kNothing : *it, fmt::format("{}: {}", where_, key));
  }

  Field at(size_t index) const { return Field((*value_)[index], fmt::format("{}[{}]", where_, index)); }

  // The number of elements of an array.
  size_t size() const {
    if (!value_->is_array()) wrong("an array");
    return value_->size();
  }

  const std::string& string() const {
    if (!value_->is_string()) wrong("a string");
    return value_->get_ref<const std::string&>();
  }

  bool boolean(bool otherwise) const {
    if (value_->is_null()) return otherwise;
    if (!value_->is_boolean()) wrong("true or false");
    return value_->get<bool>();
  }

  int64_t integer(int64_t low, int64_t high) const {
    if (value_->is_number_unsigned() && value_->get<uint64_t>() > uint64_t(INT64_MAX)) wrong_number(low, high);
    if (!value_->is_number_integer()) wrong("a whole number");
    const auto number = value_->get<int64_t>();
    if (number < low || number > high) wrong_number(low, high);
    return number;
  }

  [[noreturn]] void wrong(const std::string& expected) const {
    std::string got = value_->is_structured() ? value_->type_name() : value_->dump();
    if (got.size() > 60) got = got.substr(0, 60) + "...";
    fail(ErrorKind::kInput, "{}: expected {}, got {}", where_, expected, got);
  }

 private:
  [[noreturn]] void wrong_number(int64_t low, int64_t high) const {
    wrong(fmt::format("a whole number from {} to {}", low, high));
  }

  const Json* value_;
  std::string where_;
};

}  // namespace tenth
