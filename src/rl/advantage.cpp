#include "rl/advantage.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace tenth {
namespace {

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / double(values.size());
}

// sqrt(sum (r - mean)^2 / divisor)
double spread(std::span<const double> values, double mean, double divisor) {
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / divisor);
}

}  // namespace

Advantages group_advantages(std::span<const double> rewards, int group_size, AdvantageScale scale, double eps) {
  require(group_size >= 1 && rewards.size() % size_t(group_size) == 0, ErrorKind::kInternal,
          "[group_advantages] expected whole groups of {}, got {} rewards", group_size, rewards.size());
  for (size_t i = 0; i < rewards.size(); i++)
    require(std::isfinite(rewards[i]), ErrorKind::kNumeric, "[group_advantages] reward {} is {}", i, rewards[i]);
  Advantages result;
  result.values.assign(rewards.size(), 0.0);
  for (size_t begin = 0; begin < rewards.size(); begin += size_t(group_size)) {
    const auto group = rewards.subspan(begin, size_t(group_size));
    const bool equal = std::all_of(group.begin(), group.end(), [&](double r) { return r == group[0]; });
    result.zero_variance.push_back(equal);
    if (equal) continue;  // not left to rounding: 0.1 + 0.1 + 0.1 over 3 is not 0.1
    const double mean = mean_of(group);
    double divisor = 1;
    if (scale == AdvantageScale::kSampleStd) divisor = spread(group, mean, group_size - 1) + eps;
    if (scale == AdvantageScale::kPopulationStd) divisor = spread(group, mean, group_size) + eps;
    for (size_t i = 0; i < group.size(); i++) result.values[begin + i] = (group[i] - mean) / divisor;
  }
  return result;
}

double overlong_punishment(int64_t length, int64_t max_length, int64_t cache) {
  require(cache > 0 && cache <= max_length, ErrorKind::kInternal,
          "[overlong_punishment] expected 0 < cache <= max_length, got cache {} and max_length {}", cache, max_length);
  if (length <= max_length - cache) return 0;
  if (length > max_length) return -1;
  return double(max_length - cache - length) / double(cache);
}

}  // namespace tenth
