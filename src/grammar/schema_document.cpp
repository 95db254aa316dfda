#include "grammar/schema_document.h"

#include "base/error.h"
#include "grammar/regex.h"
#include "grammar/string_formats.h"

namespace tenth {
namespace {

constexpr int kMaxDepth = 128;
constexpr size_t kMaxParts = 200'000;

std::string unescaped(std::string_view pointer_part) {
  std::string text;
  for (size_t i = 0; i < pointer_part.size(); i++) {
    if (pointer_part[i] == '~' && i + 1 < pointer_part.size()) {
      text += pointer_part[++i] == '1' ? '/' : '~';
    } else if (pointer_part[i] == '%' && i + 2 < pointer_part.size() && std::isxdigit(uint8_t(pointer_part[i + 1])) &&
               std::isxdigit(uint8_t(pointer_part[i + 2]))) {
      text += char(std::stoi(std::string(pointer_part.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      text += pointer_part[i];
    }
  }
  return text;
}

std::string escaped(const std::string& key) {
  std::string text;
  for (char c : key) {
    if (c == '~')
      text += "~0";
    else if (c == '/')
      text += "~1";
    else
      text += c;
  }
  return text;
}

}  // namespace

SchemaDocument::SchemaDocument(const OrderedJson& root, std::string where) : root_(root), where_(std::move(where)) {
  index(root, 0);
}

void SchemaDocument::index(const OrderedJson& part, int depth) {
  require(depth <= kMaxDepth, ErrorKind::kInput, "{}: expected a schema nested at most {} deep", where_, kMaxDepth);
  require(parents_.size() <= kMaxParts, ErrorKind::kInput, "{}: expected a schema of at most {} parts", where_,
          kMaxParts);
  if (part.is_object()) {
    for (const char* key : {"$anchor", "$id", "id"}) {
      const auto name = part.find(key);
      if (name == part.end() || !name->is_string()) continue;
      const std::string& text = name->get_ref<const std::string&>();
      named_.try_emplace(key == std::string("$anchor") ? "#" + text : text, &part);
    }
    for (const auto& [key, value] : part.items()) {
      parents_[&value] = {&part, key, uint32_t(parents_.size())};
      index(value, depth + 1);
    }
  } else if (part.is_array()) {
    for (size_t i = 0; i < part.size(); i++) {
      parents_[&part[i]] = {&part, std::to_string(i), uint32_t(parents_.size())};
      index(part[i], depth + 1);
    }
  }
}

uint32_t SchemaDocument::number(const OrderedJson& part) const {
  const auto at = parents_.find(&part);
  return at == parents_.end() ? 0 : at->second.number;
}

std::string SchemaDocument::place(const OrderedJson& schema, std::string_view key) const {
  std::string pointer;
  const OrderedJson* part = &schema;
  for (auto at = parents_.find(part); at != parents_.end(); at = parents_.find(part)) {
    pointer = "/" + escaped(at->second.key) + pointer;
    part = at->second.part;
  }
  if (!key.empty()) pointer += "/" + std::string(key);
  return where_ + ": #" + pointer;
}

const OrderedJson& SchemaDocument::resolve(const OrderedJson& schema) const {
  const OrderedJson& ref = schema.at("$ref");
  require(ref.is_string(), ErrorKind::kInput, "{}: expected a text", place(schema, "$ref"));
  const std::string& text = ref.get_ref<const std::string&>();
  if (const auto known = named_.find(text); known != named_.end()) return *known->second;
  size_t hash = text.find('#');
  const OrderedJson* at = &root_;
  if (hash != 0) {
    const auto base = named_.find(text.substr(0, hash));
    require(base != named_.end(), ErrorKind::kUnsupported,
            "{}: \"{}\" lies outside of the schema, which is not supported: put it under $defs", place(schema, "$ref"),
            text);
    at = base->second;
  }
  if (hash == text.npos) hash = text.size() - 1;
  std::string_view rest = std::string_view(text).substr(hash + 1);
  while (!rest.empty()) {
    const size_t slash = rest[0] == '/' ? rest.find('/', 1) : rest.npos;
    const std::string key = unescaped(rest.substr(1, slash == rest.npos ? rest.npos : slash - 1));
    const OrderedJson* next = nullptr;
    if (rest[0] == '/' && at->is_object() && at->contains(key)) next = &at->at(key);
    if (rest[0] == '/' && at->is_array() && !key.empty() && key.size() < 6 &&
        key.find_first_not_of("0123456789") == key.npos && size_t(std::stoi(key)) < at->size())
      next = &(*at)[size_t(std::stoi(key))];
    require(next != nullptr, ErrorKind::kInput, "{}: \"{}\" names nothing in the schema", place(schema, "$ref"), text);
    at = next;
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash);
  }
  return *at;
}

const CharDfa& SchemaDocument::pattern_dfa(const std::string& pattern, const OrderedJson& schema) const {
  const auto known = patterns_.find(pattern);
  if (known != patterns_.end()) return known->second;
  return patterns_.emplace(pattern, regex_dfa(pattern, place(schema))).first->second;
}

const CharDfa* SchemaDocument::format_dfa(const std::string& format, const OrderedJson& schema) const {
  const std::string* pattern = format_pattern(format);
  return pattern ? &pattern_dfa(*pattern, schema) : nullptr;
}

}  // namespace tenth
