// Unicode normalisation form C (UAX #15), the one normaliser that byte-level models use (Qwen).
#pragma once
#include <string>
#include <string_view>

namespace tenth {

// text must be well formed UTF-8. Linear time (n log n in the length of a run of combining marks).
std::string to_nfc(std::string_view text);

}  // namespace tenth
