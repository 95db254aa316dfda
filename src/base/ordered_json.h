// JSON with the keys in the order in which they stand, for what is written again byte for byte.
#pragma once
#include "base/json.h"

namespace tenth {

// What a key that stands twice in one object means: a mistake, or its last value, in the place of the first.
enum class TwiceKey { kRefused, kLast };

// Throws as parse_json does.
OrderedJson parse_ordered_json(std::string_view text, const std::string& where, TwiceKey twice = TwiceKey::kRefused);

}  // namespace tenth
