// The syntax of JSON as parts of a network: what a schema's compiler puts together.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/ordered_json.h"
#include "grammar/network.h"

namespace tenth {

class JsonText {
 public:
  explicit JsonText(NetworkBuilder& builder) : builder_(builder) {}

  // Each reads its part from a state and gives back the state behind it.
  uint32_t blank(uint32_t from);                                            // white space (json_schema.h)
  uint32_t text(uint32_t from, uint32_t content_rule);                      // between quotes
  uint32_t literal(uint32_t from, const OrderedJson& value, bool ordered);  // ordered: its members
  // Braces and commas around the plan's members.
  uint32_t object(uint32_t from, ObjectPlan plan);
  uint32_t member(uint32_t key_rule, uint32_t value_rule);  // a rule: "key" : value
  // Items by rule: first prefix, one each, then rest (none where absent). min <= max.
  uint32_t array(uint32_t from, std::span<const uint32_t> prefix, std::optional<uint32_t> rest, uint64_t min,
                 uint64_t max);

  // Rules of what stands between quotes.
  uint32_t free_text(uint64_t min, uint64_t max);
  uint32_t content(const CharDfa& dfa) { return builder_.dfa_rule(dfa, Spelling::kQuoted, "a string"); }

 private:
  NetworkBuilder& builder_;
  std::optional<uint32_t> blank_;
};

}  // namespace tenth
