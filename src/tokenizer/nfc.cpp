#include "tokenizer/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

namespace tenth {
namespace {

constexpr auto kForm = utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

// utf8proc_map orders combining marks by swapping neighbours, which is quadratic for a long run of them; so its steps
// are made one by one here: decompose each character, sort each run of marks by class, compose.
std::vector<utf8proc_int32_t> decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    const auto point = utf8proc_int32_t(next_code_point(text, position));
    utf8proc_int32_t parts[32];  // the longest canonical decomposition has 4
    int boundary = 0;
    const auto count = utf8proc_decompose_char(point, parts, 32, kForm, &boundary);
    require(count > 0 && count <= 32, ErrorKind::kInternal, "nfc: utf8proc cannot decompose U+{:04X}", uint32_t(point));
    points.insert(points.end(), parts, parts + count);
  }
  return points;
}

int combining_class(utf8proc_int32_t point) { return utf8proc_get_property(point)->combining_class; }

void order_marks(std::vector<utf8proc_int32_t>& points) {
  for (size_t begin = 0; begin < points.size();) {
    size_t end = begin;
    while (end < points.size() && combining_class(points[end]) != 0) end++;
    auto lower = [](utf8proc_int32_t a, utf8proc_int32_t b) { return combining_class(a) < combining_class(b); };
    if (end - begin > 1) std::stable_sort(points.begin() + ptrdiff_t(begin), points.begin() + ptrdiff_t(end), lower);
    begin = end + 1;
  }
}

}  // namespace

std::string to_nfc(std::string_view text) {
  // Nothing below U+0300 (0xCC 0x80) changes or combines (UAX #15, quick check).
  if (std::all_of(text.begin(), text.end(), [](char c) { return uint8_t(c) < 0xCC; })) return std::string(text);
  std::vector<utf8proc_int32_t> points = decompose(text);
  order_marks(points);
  const auto count = utf8proc_normalize_utf32(points.data(), utf8proc_ssize_t(points.size()), kForm);
  require(count >= 0, ErrorKind::kInternal, "nfc: utf8proc cannot compose: {}", utf8proc_errmsg(count));
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < count; i++) append_code_point(char32_t(points[size_t(i)]), out);
  return out;
}

}  // namespace tenth
