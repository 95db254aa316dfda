#include "train/recipe.h"

#include <fmt/format.h>
// toml++ asserts what a broken file can break, and behind the assertion reports it as an error, which is what we want.
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace tenth {
namespace {

constexpr size_t kLongestRecipe = 64 << 10;
// toml++ walks nested tables by recursion, and each dot of "[a.a.a.…]" nests one: this many stay far within the stack.
constexpr int64_t kMostDots = 2000;
constexpr std::string_view kTaskPrefix = "task.";

const RecipeKey* find_key(const std::vector<RecipeKey>& keys, std::string_view name) {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const RecipeKey& key) { return key.name == name; });
  return found == keys.end() ? nullptr : &*found;
}

std::vector<std::string> key_names(const std::vector<RecipeKey>& keys) {
  std::vector<std::string> names;
  for (const RecipeKey& key : keys) names.push_back(key.name);
  return names;
}

std::string shown(std::string_view text) {
  constexpr size_t kShown = 60;
  return '"' + printable(text.substr(0, kShown)) + (text.size() > kShown ? "…\"" : "\"");
}

std::string real_text(double value) {
  // Shortest digits that read back to the same number; TOML wants a point or an exponent in a float.
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (uint8_t(c) < 0x20 || c == 0x7F)
      out += fmt::format("\\u{:04x}", uint8_t(c));
    else
      out += c;
  }
  return out + '"';
}

std::string value_text(const RecipeValue& value) {
  if (const bool* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  if (const double* real = std::get_if<double>(&value)) return real_text(*real);
  if (const std::string* text = std::get_if<std::string>(&value)) return toml_string(*text);
  std::string out;
  for (const std::string& item : std::get<std::vector<std::string>>(value))
    out += (out.empty() ? "" : ", ") + toml_string(item);
  return "[" + out + "]";
}

// "an integer from 1 to 64 (heads)", "one of constant, linear"
std::string expected(const RecipeKey& key) {
  const std::string unit = key.unit.empty() ? "" : fmt::format(" ({})", key.unit);
  switch (key.type()) {
    case RecipeType::kFlag: return "true or false";
    case RecipeType::kInteger: return fmt::format("an integer from {:.0f} to {:.0f}{}", key.low, key.high, unit);
    case RecipeType::kReal: return fmt::format("a number from {} to {}{}", key.low, key.high, unit);
    case RecipeType::kText: break;
    case RecipeType::kList: return "a list of strings";
  }
  return key.choices.empty() ? "a string" : fmt::format("one of {}", fmt::join(key.choices, ", "));
}

bool fits(const RecipeKey& key, const RecipeValue& value) {
  const auto in_range = [&](double number) { return number >= key.low && number <= key.high; };
  if (key.fallback.index() != value.index()) return false;
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return in_range(double(*integer));
  if (const double* real = std::get_if<double>(&value)) return in_range(*real);
  const std::string* text = std::get_if<std::string>(&value);
  return !text || key.choices.empty() || std::count(key.choices.begin(), key.choices.end(), *text) > 0;
}

template <class Number>
std::optional<Number> read_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  Number number;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// A value of --set: bare words, read as the type that the key declares; text where it cannot be.
RecipeValue read_override(std::string_view text, RecipeType type) {
  if (type == RecipeType::kFlag && (text == "true" || text == "false")) return text == "true";
  if (type == RecipeType::kInteger)
    if (const auto number = read_number<int64_t>(text)) return *number;
  if (type == RecipeType::kReal)
    if (const auto number = read_number<double>(text)) return *number;
  if (type != RecipeType::kList) return std::string(text);
  std::vector<std::string> items;  // a,b,c
  for (size_t at = 0; at < text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    items.emplace_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return items;
}

// Empty for what no key can hold: dates, tables, lists of other things.
std::optional<RecipeValue> from_toml(const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* text = node.as_string()) return text->get();
  const toml::array* array = node.as_array();
  if (!array) return {};
  std::vector<std::string> items;
  for (const toml::node& item : *array) {
    if (!item.is_string()) return {};
    items.push_back(item.as_string()->get());
  }
  return items;
}

std::string place(const std::string& file, const toml::source_region& source) {
  return fmt::format("{}:{}", file, source.begin.line);
}

// TOML allows nothing but ASCII outside of strings and comments, and toml++ 3.3 meets anything else there with
// undefined behaviour. Up to the first error in a file, strings end here where they end for toml++.
void refuse_stray_characters(std::string_view text, const std::string& where) {
  static constexpr std::string_view kOpenings[] = {"\"\"\"", "'''", "\"", "'", "#"};
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string_view end;  // of the string or comment that we are in
  size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    if (end.empty()) {
      require(uint8_t(rest[0]) < 0x80, ErrorKind::kInput,
              "{}:{}: not valid TOML: expected only ASCII outside of strings and comments", where,
              1 + std::count(text.begin(), text.begin() + int64_t(at), '\n'));
      const auto* opening = std::find_if(std::begin(kOpenings), std::end(kOpenings),
                                         [&](std::string_view o) { return rest.starts_with(o); });
      if (opening != std::end(kOpenings)) end = *opening == "#" ? "\n" : *opening;
      at += opening != std::end(kOpenings) ? opening->size() : 1;
    } else if (rest.starts_with(end)) {
      at += end.size();
      // Of five quotes in a row, the first two belong to the string.
      for (int more = 0; end.size() == 3 && more < 2 && at < text.size() && text[at] == end[0]; more++) at++;
      end = {};
    } else if (end.size() == 1 && rest[0] == '\n') {
      return;  // a string without an end
    } else {
      at += end[0] == '"' && rest[0] == '\\' ? 2 : 1;
    }
  }
}

toml::table parse_toml(std::string_view text, const std::string& where) {
  refuse_stray_characters(text, where);
  try {
    return toml::parse(text, std::string_view(where));
  } catch (const toml::parse_error& error) {
    fail(ErrorKind::kInput, "{}: not valid TOML: {}", place(where, error.source()), printable(error.description()));
  }
}

}  // namespace

Recipe Recipe::load(const Path& path, const std::vector<std::string>& overrides) {
  return parse(read_file(path, kLongestRecipe), path.string(), overrides);
}

Recipe Recipe::parse(std::string_view text, const std::string& where, const std::vector<std::string>& overrides,
                     const std::vector<RecipeKey>& keys) {
  require(text.size() <= kLongestRecipe, ErrorKind::kInput, "{}: expected a recipe of at most {} bytes, got {}", where,
          kLongestRecipe, text.size());
  const int64_t dots = std::count(text.begin(), text.end(), '.');
  require(dots <= kMostDots, ErrorKind::kInput, "{}: expected a recipe with at most {} dots, got {}", where, kMostDots,
          dots);
  Recipe recipe;
  recipe.keys_ = &keys;
  const toml::table root = parse_toml(text, where);
  for (const auto& [section, node] : root) {
    const std::string at = place(where, section.source());
    const toml::table* table = node.as_table();
    require(table, ErrorKind::kInput, "{}: {} stands outside a section; expected it under one, like [run]{}", at,
            shown(section.str()), did_you_mean(section.str(), key_names(keys)));
    for (const auto& [key, value] : *table) {
      const std::string name = fmt::format("{}.{}", section.str(), key.str());
      const auto given = from_toml(value);
      const std::string key_at = place(where, key.source());
      const RecipeKey* known = find_key(keys, name);
      require(given || !known, ErrorKind::kInput, "{}: {}: expected {}, got a table, a date or a mixed list", key_at,
              name, known ? expected(*known) : "");
      recipe.set(name, given.value_or(RecipeValue(false)), key_at);
    }
  }
  for (const std::string& assignment : overrides) recipe.set_override(assignment);
  return recipe;
}

void Recipe::set_override(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  require(equals != std::string::npos && equals > 0, ErrorKind::kInput,
          "--set: expected section.key=value, like rl.steps=20, got {}", shown(assignment));
  const std::string name = assignment.substr(0, equals);
  const RecipeKey* key = find_key(*keys_, name);
  set(name, read_override(std::string_view(assignment).substr(equals + 1), key ? key->type() : RecipeType::kReal),
      "--set");
}

void Recipe::set(const std::string& name, RecipeValue value, const std::string& where) {
  const RecipeKey* key = find_key(*keys_, name);
  // TOML's 1 for a real key is meant as 1.0.
  const bool want_real = key ? key->type() == RecipeType::kReal : name.starts_with(kTaskPrefix);
  if (const int64_t* integer = std::get_if<int64_t>(&value); integer && want_real) value = double(*integer);
  if (key) {
    require(fits(*key, value), ErrorKind::kInput, "{}: {}: expected {}, got {}", where, name, expected(*key),
            std::holds_alternative<std::string>(value) ? shown(std::get<std::string>(value)) : value_text(value));
  } else {
    require(name.starts_with(kTaskPrefix), ErrorKind::kInput, "{}: {}", where, unknown(name));
    const double* number = std::get_if<double>(&value);
    require(number && std::isfinite(*number), ErrorKind::kInput, "{}: {}: expected a number for the task, got {}",
            where, printable(name), printable(value_text(value)));
    task_numbers_[name.substr(kTaskPrefix.size())] = *number;
  }
  given_[name] = {std::move(value), where};
}

std::string Recipe::unknown(const std::string& name) const {
  const std::string near = did_you_mean(name, key_names(*keys_));
  return fmt::format("unknown key {}{}", shown(name), near.empty() ? "; tenth train --keys lists all keys" : near);
}

const RecipeValue& Recipe::value(std::string_view name, RecipeType type) const {
  const RecipeKey* key = find_key(*keys_, name);
  require(key && key->type() == type, ErrorKind::kInternal, "recipe key {} is not declared with this type", name);
  const auto given = given_.find(name);
  return given == given_.end() ? key->fallback : given->second.value;
}

bool Recipe::flag(std::string_view name) const { return std::get<bool>(value(name, RecipeType::kFlag)); }

int64_t Recipe::integer(std::string_view name) const { return std::get<int64_t>(value(name, RecipeType::kInteger)); }

double Recipe::real(std::string_view name) const {
  const RecipeKey* key = find_key(*keys_, name);
  if (key && key->type() == RecipeType::kInteger) return double(integer(name));
  return std::get<double>(value(name, RecipeType::kReal));
}

const std::string& Recipe::text(std::string_view name) const {
  return std::get<std::string>(value(name, RecipeType::kText));
}

const std::vector<std::string>& Recipe::list(std::string_view name) const {
  return std::get<std::vector<std::string>>(value(name, RecipeType::kList));
}

std::string Recipe::where(std::string_view name) const {
  const auto given = given_.find(name);
  return given == given_.end() ? "default" : given->second.where;
}

std::vector<std::pair<std::string, std::string>> Recipe::settings() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const RecipeKey& key : *keys_) all.emplace_back(key.name, value_text(value(key.name, key.type())));
  for (const auto& [name, number] : task_numbers_) all.emplace_back(std::string(kTaskPrefix) + name, real_text(number));
  return all;
}

std::string Recipe::to_toml() const {
  std::map<std::string, std::string> sections;
  std::vector<std::string> order;
  for (const auto& [name, text] : settings()) {
    const size_t dot = name.find('.');
    const std::string section = name.substr(0, dot);
    if (!sections.contains(section)) order.push_back(section);
    const std::string key = name.substr(dot + 1);
    const bool bare = std::all_of(key.begin(), key.end(), [](char c) { return std::isalnum(uint8_t(c)) || c == '_'; });
    sections[section] += fmt::format("{} = {}\n", bare && !key.empty() ? key : toml_string(key), text);
  }
  std::string out;
  for (const std::string& section : order)
    out += fmt::format("{}[{}]\n{}", out.empty() ? "" : "\n", section, sections[section]);
  return out;
}

std::string describe_keys(const std::vector<RecipeKey>& keys) {
  static constexpr const char* kTypes[] = {"flag", "integer", "real", "text", "list"};
  std::string out, section;
  for (const RecipeKey& key : keys) {
    const size_t dot = key.name.find('.');
    if (key.name.substr(0, dot) != section) {
      section = key.name.substr(0, dot);
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    std::string allowed;
    if (!key.choices.empty()) allowed = fmt::format(": {}", fmt::join(key.choices, ", "));
    if (key.type() == RecipeType::kReal || key.type() == RecipeType::kInteger)
      allowed = fmt::format(" [{} to {}]", short_number(key.low), short_number(key.high));
    out += fmt::format("  {:<34} {:<8} {:<10} {:<9} {}{}\n", key.name, kTypes[size_t(key.type())],
                       value_text(key.fallback), key.unit, key.meaning, allowed);
  }
  return out;
}

}  // namespace tenth
