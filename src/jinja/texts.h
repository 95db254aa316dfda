// What Python's str does, on texts with marks.
#pragma once
#include <functional>
#include <string_view>
#include <vector>

#include "base/marked_text.h"

namespace tenth::jinja {

// The part of text that a view into it shows.
MarkedText part_of(const MarkedText& text, std::string_view view);
MarkedText trimmed(const MarkedText& text);
MarkedText trimmed(const MarkedText& text, std::string_view set);

// At most so many cuts, from the left or from the right; below 0: any number. separator must not be empty.
std::vector<MarkedText> split(const MarkedText& text, std::string_view separator, int64_t most);
std::vector<MarkedText> split_right(const MarkedText& text, std::string_view separator, int64_t most);
// At white space, of which pieces have none at their ends.
std::vector<MarkedText> split_words(const MarkedText& text, int64_t most);
std::vector<MarkedText> split_lines(const MarkedText& text, bool keep_ends);
// count below 0: all. The new text keeps its own marks. Throws kInput where the result is longer than limit.
MarkedText replace(const MarkedText& text, std::string_view old, const MarkedText& with, int64_t count, size_t limit);

MarkedText upper(const MarkedText& text);
MarkedText lower(const MarkedText& text);
MarkedText capitalized(const MarkedText& text);
// A capital for each character that follows one for which begins is true, and for the first.
MarkedText titled(const MarkedText& text, const std::function<bool(char32_t)>& begins);
MarkedText reversed(const MarkedText& text);

}  // namespace tenth::jinja
