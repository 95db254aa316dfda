#include "engine/logit_rules.h"

#include <limits>
#include <unordered_map>

namespace tenth {

void apply_rules(const LogitRules& rules, std::span<float> logits, std::span<const int32_t> drawn,
                 std::span<const int32_t> stop_ids) {
  if (rules.presence_penalty != 0 || rules.frequency_penalty != 0) {
    std::unordered_map<int32_t, int32_t> counts;
    for (int32_t id : drawn) counts[id]++;
    for (const auto& [id, count] : counts)
      logits[size_t(id)] -= float(rules.presence_penalty + rules.frequency_penalty * count);
  }
  for (const auto& [id, value] : rules.bias) logits[size_t(id)] += value;
  if (int64_t(drawn.size()) < rules.min_new_tokens)
    for (int32_t id : stop_ids) logits[size_t(id)] = -std::numeric_limits<float>::infinity();
}

}  // namespace tenth
