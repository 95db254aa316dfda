// Formats of strings (JSON Schema 2020-12 validation, section 7) as patterns.
#pragma once
#include <string>

namespace tenth {

// The anchored pattern of a format that is held; nullptr for names that the standard does not know (notes only).
const std::string* format_pattern(const std::string& format);
// Names of the standard that are not held, and so refused.
bool format_unsupported(const std::string& format);

}  // namespace tenth
