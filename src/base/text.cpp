#include "base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace tenth {

namespace {

constexpr size_t kLongestName = 128;

std::string_view last_part(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
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

}  // namespace tenth
