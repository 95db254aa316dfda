// A recipe: one TOML file that says everything about a run. Keys are flat, "section.key"; recipe_keys.cpp declares each
// in one line with its type, default, unit, range and meaning, and a key that is not declared is refused.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/files.h"

namespace tenth {

// The order of the alternatives is the order of RecipeType.
using RecipeValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;
enum class RecipeType { kFlag, kInteger, kReal, kText, kList };

struct RecipeKey {
  std::string name;  // "rl.clip_low"
  RecipeValue fallback;
  std::string unit;                  // "tokens", "steps"; empty for a pure number
  double low = 0, high = 0;          // both allowed; for integers and reals
  std::vector<std::string> choices;  // for text; empty: any text
  std::string meaning;

  RecipeType type() const { return RecipeType(fallback.index()); }
};

// The keys of `tenth train`, in the order of their sections.
const std::vector<RecipeKey>& recipe_keys();

class Recipe {
 public:
  // Reads a file of at most 64 KiB and 2,000 dots. Overrides are "section.key=value" strings (--set); they win, the
  // last one most. Throws kInput with file:line (or --set), key, expected, got; for an unknown key with the nearest
  // known one.
  static Recipe load(const Path& path, const std::vector<std::string>& overrides = {});
  // The same from text; where stands for the file's name in errors. keys must outlive the recipe.
  static Recipe parse(std::string_view text, const std::string& where, const std::vector<std::string>& overrides = {},
                      const std::vector<RecipeKey>& keys = recipe_keys());

  // The value given, else the default. A name that is not declared, or of another type, is a bug: kInternal.
  bool flag(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;  // of an integer key too
  const std::string& text(std::string_view name) const;
  const std::vector<std::string>& list(std::string_view name) const;

  // The numbers task.NAME that are no declared keys: the task knows which of them it takes.
  const std::map<std::string, double>& task_numbers() const { return task_numbers_; }

  // Where a key was given, for errors of those who check further: "demo.toml:12", "--set", or "default".
  std::string where(std::string_view name) const;

  // Every key and its value, in the order of the table, task numbers last: for the report and to compare two runs.
  std::vector<std::pair<std::string, std::string>> settings() const;
  // The same as a recipe file that parse reads back to the same values.
  std::string to_toml() const;

 private:
  struct Given {
    RecipeValue value;
    std::string where;
  };
  void set(const std::string& name, RecipeValue value, const std::string& where);
  void set_override(const std::string& assignment);
  std::string unknown(const std::string& name) const;
  const RecipeValue& value(std::string_view name, RecipeType type) const;

  const std::vector<RecipeKey>* keys_ = nullptr;
  std::map<std::string, Given, std::less<>> given_;
  std::map<std::string, double> task_numbers_;
};

// What `tenth train --keys` prints: a block a section, a line a key.
std::string describe_keys(const std::vector<RecipeKey>& keys = recipe_keys());

}  // namespace tenth
