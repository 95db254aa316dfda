#include "jinja/texts.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/characters.h"

namespace tenth::jinja {
namespace {

// Each character through the function, with the mark it had.
template <class Function>
MarkedText transformed(const MarkedText& text, Function function) {
  MarkedText out;
  size_t at = 0;
  for (const auto& run : text.runs()) {
    std::string part;
    while (at < run.end) append_code_point(function(next_code_point(text.text(), at)), part);
    out.append(part, run.origin);
  }
  return out;
}

bool ends_line(char32_t c) {
  return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

// Adds a part to those of a split.
void add(std::vector<MarkedText>& parts, MarkedText part) {
  constexpr size_t kMost = 1 << 20;
  require(parts.size() < kMost, ErrorKind::kInput, "expected a text that splits into at most {} parts", kMost);
  parts.push_back(std::move(part));
}

}  // namespace

MarkedText part_of(const MarkedText& text, std::string_view view) {
  if (view.empty()) return {};
  const size_t begin = size_t(view.data() - text.text().data());
  return text.part(begin, begin + view.size());
}

MarkedText trimmed(const MarkedText& text) { return part_of(text, left_trimmed(right_trimmed(text.text()))); }

MarkedText trimmed(const MarkedText& text, std::string_view set) {
  return part_of(text, left_trimmed(right_trimmed(text.text(), set), set));
}

std::vector<MarkedText> split(const MarkedText& text, std::string_view separator, int64_t most) {
  std::vector<MarkedText> parts;
  size_t begin = 0;
  for (; most != 0; most--) {
    const size_t cut = text.text().find(separator, begin);
    if (cut == std::string::npos) break;
    add(parts, text.part(begin, cut));
    begin = cut + separator.size();
  }
  add(parts, text.part(begin, text.size()));
  return parts;
}

std::vector<MarkedText> split_right(const MarkedText& text, std::string_view separator, int64_t most) {
  std::vector<MarkedText> parts;
  size_t end = text.size();
  for (; most != 0 && end >= separator.size(); most--) {
    const size_t cut = text.text().rfind(separator, end - separator.size());
    if (cut == std::string::npos) break;
    add(parts, text.part(cut + separator.size(), end));
    end = cut;
  }
  add(parts, text.part(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<MarkedText> split_words(const MarkedText& text, int64_t most) {
  std::vector<MarkedText> parts;
  std::string_view left = left_trimmed(text.text());
  while (!left.empty()) {
    if (most-- == 0) {
      add(parts, part_of(text, right_trimmed(left)));
      break;
    }
    size_t end = 0;
    for (size_t at = 0; at < left.size(); end = at)
      if (is_space(next_code_point(left, at))) break;
    add(parts, part_of(text, left.substr(0, end)));
    left = left_trimmed(left.substr(end));
  }
  return parts;
}

std::vector<MarkedText> split_lines(const MarkedText& text, bool keep_ends) {
  std::vector<MarkedText> lines;
  const std::string& all = text.text();
  size_t begin = 0;
  for (size_t at = 0; at < all.size();) {
    const size_t end = at;
    const char32_t c = next_code_point(all, at);
    if (!ends_line(c)) continue;
    if (c == '\r' && at < all.size() && all[at] == '\n') at++;
    add(lines, text.part(begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < all.size()) add(lines, text.part(begin, all.size()));
  return lines;
}

MarkedText replace(const MarkedText& text, std::string_view old, const MarkedText& with, int64_t count, size_t limit) {
  MarkedText out;
  size_t begin = 0;
  auto add = [&](size_t end) {
    out.append_part(text, begin, end);
    require(out.size() + with.size() <= limit, ErrorKind::kInput, "replace: expected a text of at most {} bytes",
            limit);
  };
  for (size_t from = 0; count != 0 && from <= text.size(); count--) {
    const size_t at = text.text().find(old, from);
    if (at == std::string::npos) break;
    add(at);
    out.append(with);
    begin = at + old.size();
    from = begin;
    if (!old.empty()) continue;
    if (at == text.size()) break;
    size_t behind = at;  // an empty text stands before each character
    next_code_point(text.text(), behind);
    from = behind;
  }
  add(text.size());
  return out;
}

MarkedText upper(const MarkedText& text) { return transformed(text, to_upper); }
MarkedText lower(const MarkedText& text) { return transformed(text, to_lower); }

MarkedText capitalized(const MarkedText& text) {
  return transformed(
      text, [first = true](char32_t c) mutable { return std::exchange(first, false) ? to_upper(c) : to_lower(c); });
}

MarkedText titled(const MarkedText& text, const std::function<bool(char32_t)>& begins) {
  bool at_begin = true;
  return transformed(text, [&](char32_t c) {
    const bool capital = std::exchange(at_begin, begins(c));
    return capital ? to_upper(c) : to_lower(c);
  });
}

MarkedText reversed(const MarkedText& text) {
  MarkedText out;
  for (size_t end = text.size(); end > 0;) {
    size_t begin = end - 1;
    while ((uint8_t(text.text()[begin]) & 0xC0) == 0x80) begin--;
    out.append_part(text, begin, end);
    end = begin;
  }
  return out;
}

}  // namespace tenth::jinja
