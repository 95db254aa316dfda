#include "base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tenth {

namespace {

constexpr size_t kLongestName = 128;

std::string_view last_part(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

struct CodePoint {
  char32_t value;
  size_t bytes;  // 0: the bytes at the front are not UTF-8
};

// The first code point of a text that is not empty (RFC 3629: no surrogates, no longer form than needed).
CodePoint first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : 0; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 && lead < 0xF8 ? 4 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xC0 ? 2 : 0;
  if (bytes == 0 || lead >= 0xF8) return {0, 0};
  char32_t value = lead & (0xFF >> (bytes + 1));
  for (size_t i = 1; i < bytes; i++) {
    if ((byte(i) & 0xC0) != 0x80) return {0, 0};
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool legal = value >= kLeast[bytes] && value <= 0x10FFFF && !(value >= 0xD800 && value <= 0xDFFF);
  return legal ? CodePoint{value, bytes} : CodePoint{0, 0};
}

bool is_control(char32_t c) {
  const bool ascii = c < 0x20 && c != '\n' && c != '\t';
  const bool direction = c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return ascii || (c >= 0x7F && c < 0xA0) || direction || c == 0x2028 || c == 0x2029;
}

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, kLongestName), b = b.substr(0, kLongestName);
  // Three rows of the table d[i][j] = cost of turning a[0, i) into b[0, j).
  std::array<std::array<int, kLongestName + 1>, 3> rows;
  auto row = [&](size_t i) -> auto& { return rows[i % 3]; };
  for (size_t j = 0; j <= b.size(); j++) row(0)[j] = int(j);
  for (size_t i = 1; i <= a.size(); i++) {
    row(i)[0] = int(i);
    for (size_t j = 1; j <= b.size(); j++) {
      int best = row(i - 1)[j - 1] + (a[i - 1] != b[j - 1]);
      best = std::min({best, row(i - 1)[j] + 1, row(i)[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) best = std::min(best, row(i - 2)[j - 2] + 1);
      row(i)[j] = best;
    }
  }
  return row(a.size())[b.size()];
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates) {
  // More than a third of the letters changed is another word; but a known last part in a wrong or missing section is
  // what people get wrong most, so that is always near.
  const int limit = std::max<int>(1, int(std::min(name.size(), kLongestName)) / 3);
  int best = limit + 1;
  std::string nearest;
  for (const std::string& candidate : candidates) {
    int distance = edit_distance(name, candidate);
    if (last_part(name) == last_part(candidate)) distance = std::min(distance, limit);
    if (distance < best) best = distance, nearest = candidate;
  }
  return nearest;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string nearest = nearest_name(name, candidates);
  return nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest);
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  static constexpr const char* kSuffixes[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t power = 0;
  // 999.5 would be printed as 1000 (or 1e+03) by three digits: it belongs to the next power.
  while (std::abs(value) >= 999.5 && power + 1 < std::size(kSuffixes)) value /= 1000, power++;
  return fmt::format("{:.3g}{}", value, kSuffixes[power]);
}

std::string clock_text(double seconds) {
  if (!(seconds >= 0) || seconds > 3.6e6) return "-:--";
  const int64_t total = std::llround(seconds);
  const int64_t hours = total / 3600, minutes = total / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

std::string printable(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const auto [value, bytes] = first_code_point(text);
    if (bytes == 0)
      safe += fmt::format("\\x{:02x}", uint8_t(text[0]));
    else if (!is_control(value))
      safe += text.substr(0, bytes);
    else
      safe += value < 0x80 ? fmt::format("\\x{:02x}", uint32_t(value)) : fmt::format("\\u{:04x}", uint32_t(value));
    text.remove_prefix(std::max<size_t>(bytes, 1));
  }
  return safe;
}

}  // namespace tenth
