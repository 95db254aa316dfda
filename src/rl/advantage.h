// From rewards to advantages: how much better than its group a response was. Constants for the loss, without gradient.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenth {

enum class AdvantageScale {
  kNone,           // A = r - mean                    Dr. GRPO (2503.20783), DeepSeek-V3.2 (2512.02556)
  kSampleStd,      // A = (r - mean) / (s + eps)      s over n - 1, as TRL
  kPopulationStd,  // A = (r - mean) / (s + eps)      s over n; the GRPO paper (2402.03300 eq 3) does not say which
};

struct Advantages {
  std::vector<double> values;       // one a row, in the order of the rewards
  std::vector<bool> zero_variance;  // one a group: all rewards equal, nothing to learn; its values are exactly 0
};

// rewards: groups one after another, each of group_size >= 1 rows. eps: TRL's 1e-4.
// Throws kInternal where the rewards are not whole groups, kNumeric on a reward that is not finite.
Advantages group_advantages(std::span<const double> rewards, int group_size, AdvantageScale scale, double eps = 1e-4);

// DAPO's soft overlong punishment (2503.14476 eq 13), to be added to the reward: 0 up to max_length - cache tokens,
// then falling in a straight line to -1 at max_length, -1 beyond. Throws kInternal unless 0 < cache <= max_length.
double overlong_punishment(int64_t length, int64_t max_length, int64_t cache);

}  // namespace tenth
