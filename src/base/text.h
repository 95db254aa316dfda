// Text helpers without ML words: the nearest of a list of names, numbers for people, checks of text from outside.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

// Insertions, deletions, substitutions and swaps of neighbours that turn a into b (optimal string alignment), in bytes.
// Both are cut at 128 bytes, so that a hostile name costs no time.
int edit_distance(std::string_view a, std::string_view b);

// The candidate with the least edit distance to name, the first of equals; a candidate with the same part behind its
// last dot ("optim.lr" for "optmi.lr" or "lr") counts as near. Empty if there is none that a person could have meant.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// " (did you mean x?)", or nothing where no candidate is near: to be appended to an error about an unknown name.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

// Three significant digits with a power of a thousand behind: 7, 0.25, 11.2k, 2.41M, 3.1G, 1.5T. "-" where not finite.
std::string short_number(double value);

// 0:07, 12:05, 3:00:00; "-:--" where the number is negative, not finite or above 1000 hours.
std::string clock_text(double seconds);

// Text from a model, a file or a client, made safe to print: what is not UTF-8 and every control character but newline
// and tab (escape sequences, direction overrides) becomes \xNN or \uNNNN. The rest stays byte for byte.
std::string printable(std::string_view text);

}  // namespace tenth
