// What a request forbids or favours among the next tokens, before temperature and filters.
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace tenth {

struct LogitRules {
  double presence_penalty = 0, frequency_penalty = 0;  // logit -= presence [count > 0] + frequency count (OpenAI)
  std::vector<std::pair<int32_t, float>> bias;         // added to the logits of these ids
  int32_t min_new_tokens = 0;                          // before, no stop id is drawn
  bool any() const { return presence_penalty != 0 || frequency_penalty != 0 || !bias.empty() || min_new_tokens > 0; }
};

// drawn: the tokens so far, without the prompt.
void apply_rules(const LogitRules& rules, std::span<float> logits, std::span<const int32_t> drawn,
                 std::span<const int32_t> stop_ids);

}  // namespace tenth
