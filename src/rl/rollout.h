// One step's experience: problems, the model's answers to them, their rewards and advantages.
#pragma once
#include "engine/generator.h"
#include "rl/grpo.h"

namespace tenth {

struct RolloutRow {
  std::vector<int32_t> prompt;
  Completion completion;
  double reward = 0, advantage = 0;
  bool thinks = false;
};

struct Rollout {
  std::vector<RolloutRow> rows;  // of groups whose rewards differ: what there is to learn from
  int64_t sampled = 0, groups = 0, zero_variance_groups = 0, new_tokens = 0;
  double reward = 0, length = 0, truncated = 0, thinking = 0;  // means over all that was sampled
};

// Step number `step` of the run: its problems and draws are a pure function of (seed, step).
Rollout roll_out(Generator& generator, const Tokenizer& tokenizer, const Task& task, const RlSettings& settings,
                 int64_t step);

}  // namespace tenth
