// JSON with the keys in the order in which they stand, for what is written again byte for byte.
#pragma once
#include "base/json.h"

namespace tenth {

// Throws as parse_json does.
OrderedJson parse_ordered_json(std::string_view text, const std::string& where);

}  // namespace tenth
