// Characters as Python's str sees them: code points, with Unicode's properties.
#pragma once
#include <string>
#include <string_view>

namespace tenth::jinja {

bool is_space(char32_t c);   // str.isspace
bool is_letter(char32_t c);  // str.isalpha
char32_t to_upper(char32_t c);
char32_t to_lower(char32_t c);

size_t count_characters(std::string_view text);
// Where the character of this number begins; text.size() behind the last.
size_t offset_of(std::string_view text, size_t character);

// str.lstrip and rstrip: the bytes left of the text when the characters of a set, or white space, are taken off.
std::string_view left_trimmed(std::string_view text);
std::string_view right_trimmed(std::string_view text);
std::string_view left_trimmed(std::string_view text, std::string_view set);
std::string_view right_trimmed(std::string_view text, std::string_view set);

}  // namespace tenth::jinja
