#include "jinja/characters.h"

#include <utf8proc.h>

#include "base/utf8.h"

namespace tenth::jinja {
namespace {

size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (uint8_t(text[at]) & 0xC0) == 0x80) at--;
  return at;
}

template <class Drop>
std::string_view trim_left(std::string_view text, const Drop& drop) {
  while (!text.empty()) {
    size_t behind = 0;
    if (!drop(next_code_point(text, behind))) break;
    text.remove_prefix(behind);
  }
  return text;
}

template <class Drop>
std::string_view trim_right(std::string_view text, const Drop& drop) {
  while (!text.empty()) {
    const size_t begin = last_character(text);
    size_t at = begin;
    if (!drop(next_code_point(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

auto one_of(std::string_view set) {
  return [set](char32_t c) {
    for (size_t at = 0; at < set.size();)
      if (next_code_point(set, at) == c) return true;
    return false;
  };
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || utf8proc_category(utf8proc_int32_t(c)) == UTF8PROC_CATEGORY_ZS || c == 0x2028 || c == 0x2029;
}

bool is_letter(char32_t c) {
  const auto category = utf8proc_category(utf8proc_int32_t(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

char32_t to_upper(char32_t c) { return char32_t(utf8proc_toupper(utf8proc_int32_t(c))); }
char32_t to_lower(char32_t c) { return char32_t(utf8proc_tolower(utf8proc_int32_t(c))); }

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (char c : text) count += (uint8_t(c) & 0xC0) != 0x80;
  return count;
}

size_t offset_of(std::string_view text, size_t character) {
  size_t at = 0;
  for (; at < text.size(); at++)
    if ((uint8_t(text[at]) & 0xC0) != 0x80 && character-- == 0) break;
  return at;
}

std::string_view left_trimmed(std::string_view text) { return trim_left(text, is_space); }
std::string_view right_trimmed(std::string_view text) { return trim_right(text, is_space); }
std::string_view left_trimmed(std::string_view text, std::string_view set) { return trim_left(text, one_of(set)); }
std::string_view right_trimmed(std::string_view text, std::string_view set) { return trim_right(text, one_of(set)); }

}  // namespace tenth::jinja
