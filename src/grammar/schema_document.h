// A JSON Schema and what is looked up in it: places as JSON pointers, $ref, patterns, and whether a value satisfies it.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/ordered_json.h"
#include "grammar/char_dfa.h"

namespace tenth {

class SchemaDocument {
 public:
  // Throws kInput where it is nested too deep or holds too much. root must outlive this.
  SchemaDocument(const OrderedJson& root, std::string where);

  const OrderedJson& root() const { return root_; }
  // "<where>: #/properties/a/minimum", for errors; key may be empty.
  std::string place(const OrderedJson& schema, std::string_view key = {}) const;
  // In the order in which the parts stand; 0 for the root and for what is no part.
  uint32_t number(const OrderedJson& part) const;
  // The target of a $ref of this schema: #, #/json/pointer, #anchor, or the $id of a part. Throws kUnsupported for
  // others.
  const OrderedJson& resolve(const OrderedJson& schema) const;

  // Automata of patterns and formats, made once. format_dfa: nullptr for a name that is only a note.
  const CharDfa& pattern_dfa(const std::string& pattern, const OrderedJson& schema) const;
  const CharDfa* format_dfa(const std::string& format, const OrderedJson& schema) const;

  // Whether value satisfies schema, every word of it. The work is bounded: throws kInput.
  bool satisfies(const OrderedJson& value, const OrderedJson& schema) const { return check(value, schema, 0); }

  // Equal as JSON Schema means it: 1 is 1.0, objects without order.
  static bool equal(const OrderedJson& a, const OrderedJson& b);
  static std::string type_of(const OrderedJson& value);  // integer where the value is whole
  static bool is_type(const OrderedJson& value, const std::string& type);

 private:
  bool check(const OrderedJson& value, const OrderedJson& schema, int depth) const;
  bool check_number(const OrderedJson& value, const OrderedJson& schema) const;
  bool check_string(const OrderedJson& value, const OrderedJson& schema) const;
  bool check_array(const OrderedJson& value, const OrderedJson& schema, int depth) const;
  bool check_object(const OrderedJson& value, const OrderedJson& schema, int depth) const;
  bool check_members(const OrderedJson& value, const OrderedJson& schema, int depth) const;
  bool check_combined(const OrderedJson& value, const OrderedJson& schema, int depth) const;
  void index(const OrderedJson& part, int depth);

  const OrderedJson& root_;
  std::string where_;
  struct Parent {
    const OrderedJson* part;
    std::string key;
    uint32_t number;
  };
  std::unordered_map<const OrderedJson*, Parent> parents_;
  std::map<std::string, const OrderedJson*> named_;  // by $anchor and $id
  mutable std::map<std::string, CharDfa> patterns_;
  mutable size_t checks_ = 0;
};

}  // namespace tenth
