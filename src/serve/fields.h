// Typed access to the fields of a request's body. A field that is absent or null takes its default; one of a wrong type
// or out of range is refused by name; fields that nobody asks for are ignored.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tenth {

class Fields {
 public:
  // json must be an object and outlive this. path: of the object within the body, "" for the body itself.
  explicit Fields(const OrderedJson& json, std::string path = "");

  bool has(const char* name) const { return find(name) != nullptr; }
  const OrderedJson* find(const char* name) const;  // null: absent or null
  std::string name_of(const char* name) const;      // with the path before it

  bool flag(const char* name, bool otherwise) const;
  int64_t integer(const char* name, int64_t otherwise, int64_t low, int64_t high) const;
  double number(const char* name, double otherwise, double low, double high) const;
  std::string text(const char* name, const std::string& otherwise) const;
  std::string required_text(const char* name) const;
  std::string one_of(const char* name, const std::string& otherwise, const std::vector<std::string>& allowed) const;
  const OrderedJson& required_list(const char* name) const;
  const OrderedJson* list(const char* name) const;
  std::optional<Fields> object(const char* name) const;
  // A string, or a list of strings.
  std::vector<std::string> texts(const char* name, size_t most, size_t longest) const;

 private:
  const OrderedJson& json_;
  std::string path_;
};

// "a list", "a string", … for messages about what came.
std::string_view kind_of(const OrderedJson& json);

// The body of a request as an object. Throws ApiError 400.
OrderedJson parse_body(const std::string& body);

}  // namespace tenth
