#include "serve/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/ordered_json.h"
#include "base/utf8.h"
#include "serve/api_error.h"

namespace tenth {

std::string_view kind_of(const OrderedJson& json) {
  if (json.is_null()) return "null";
  if (json.is_boolean()) return "a boolean";
  if (json.is_number_integer()) return "an integer";
  if (json.is_number()) return "a number";
  if (json.is_string()) return "a string";
  return json.is_array() ? "a list" : "an object";
}

namespace {

[[noreturn]] void wrong(const std::string& name, std::string_view expected, const OrderedJson& got) {
  throw invalid_field(name, fmt::format("expected {}, got {}", expected, kind_of(got)));
}

}  // namespace

Fields::Fields(const OrderedJson& json, std::string path) : json_(json), path_(std::move(path)) {
  if (!json.is_object()) wrong(path_.empty() ? "body" : path_, "an object", json);
}

const OrderedJson* Fields::find(const char* name) const {
  const auto it = json_.find(name);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

std::string Fields::name_of(const char* name) const { return path_.empty() ? name : path_ + "." + name; }

bool Fields::flag(const char* name, bool otherwise) const {
  const OrderedJson* value = find(name);
  if (!value) return otherwise;
  if (!value->is_boolean()) wrong(name_of(name), "true or false", *value);
  return value->get<bool>();
}

int64_t Fields::integer(const char* name, int64_t otherwise, int64_t low, int64_t high) const {
  const OrderedJson* value = find(name);
  if (!value) return otherwise;
  const bool whole = value->is_number() && std::trunc(value->get<double>()) == value->get<double>();
  if (!whole) wrong(name_of(name), "an integer", *value);
  // As a double first: an integer of any size in the text is a finite one.
  const double size = value->get<double>();
  if (!(size >= double(low) && size <= double(high)))
    throw invalid_field(name_of(name), fmt::format("expected {} … {}, got {}", low, high, value->dump()));
  return value->is_number_integer() ? value->get<int64_t>() : int64_t(size);
}

double Fields::number(const char* name, double otherwise, double low, double high) const {
  const OrderedJson* value = find(name);
  if (!value) return otherwise;
  if (!value->is_number()) wrong(name_of(name), "a number", *value);
  const double size = value->get<double>();
  if (!(size >= low && size <= high))
    throw invalid_field(name_of(name), fmt::format("expected {} … {}, got {}", low, high, value->dump()));
  return size;
}

std::string Fields::text(const char* name, const std::string& otherwise) const {
  const OrderedJson* value = find(name);
  if (!value) return otherwise;
  if (!value->is_string()) wrong(name_of(name), "a string", *value);
  return value->get<std::string>();
}

std::string Fields::required_text(const char* name) const {
  if (!has(name)) throw invalid_field(name_of(name), "expected a string, got none");
  return text(name, "");
}

std::string Fields::one_of(const char* name, const std::string& otherwise,
                           const std::vector<std::string>& allowed) const {
  const std::string value = text(name, otherwise);
  if (has(name) && std::find(allowed.begin(), allowed.end(), value) == allowed.end())
    throw invalid_field(name_of(name), fmt::format("expected {}, got \"{}\"", fmt::join(allowed, ", "), value));
  return value;
}

const OrderedJson* Fields::list(const char* name) const {
  const OrderedJson* value = find(name);
  if (value && !value->is_array()) wrong(name_of(name), "a list", *value);
  return value;
}

const OrderedJson& Fields::required_list(const char* name) const {
  const OrderedJson* value = list(name);
  if (!value) throw invalid_field(name_of(name), "expected a list, got none");
  return *value;
}

std::optional<Fields> Fields::object(const char* name) const {
  const OrderedJson* value = find(name);
  if (!value) return std::nullopt;
  return Fields(*value, name_of(name));
}

std::vector<std::string> Fields::texts(const char* name, size_t most, size_t longest) const {
  const OrderedJson* value = find(name);
  if (!value) return {};
  std::vector<std::string> y;
  const auto take = [&](const OrderedJson& item) {
    if (!item.is_string()) wrong(name_of(name), "a string or a list of strings", item);
    y.push_back(item.get<std::string>());
    if (y.back().empty() || y.back().size() > longest)
      throw invalid_field(name_of(name),
                          fmt::format("expected 1 … {} bytes a string, got {}", longest, y.back().size()));
  };
  if (value->is_array())
    for (const OrderedJson& item : *value) {
      if (y.size() == most)
        throw invalid_field(name_of(name), fmt::format("expected at most {} strings, got {}", most, value->size()));
      take(item);
    }
  else
    take(*value);
  return y;
}

OrderedJson parse_body(const std::string& body) {
  if (const size_t sound = well_formed_prefix(body); sound != body.size())
    throw ApiError(400, "invalid_request_error", fmt::format("body: byte {} is not UTF-8", sound));
  OrderedJson json;
  try {
    json = parse_ordered_json(body, "body");
  } catch (const Error& e) {
    throw ApiError(400, "invalid_request_error", e.what());
  }
  if (!json.is_object())
    throw ApiError(400, "invalid_request_error", fmt::format("body: expected an object, got {}", kind_of(json)));
  return json;
}

}  // namespace tenth
