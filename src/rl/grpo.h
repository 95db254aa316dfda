// Reinforcement with verifiable rewards: rollouts through the engine, rule-checked rewards, group advantages, one of
// the GRPO family of losses (policy_loss.h), and the gap between the sampler's and the trainer's log-probabilities.
#pragma once
#include "problems/problem.h"
#include "rl/advantage.h"
#include "rl/policy_loss.h"
#include "tokenizer/tokenizer.h"
#include "train/stage.h"

namespace tenth {

struct RlSettings {
  int64_t steps = 0;
  int64_t prompts = 32, samples = 8, updates = 1;
  double temperature = 1;
  int32_t max_new_tokens = 72;
  OptimizerOptions optimizer;
  Schedule schedule;
  double clip = 1;
  PolicyLossConfig loss;
  bool dynamic_sampling = false;  // groups whose rewards are all equal are replaced by further problems
  bool routing_replay = true;     // the trainer's mixtures take the experts that the sampler chose
  int64_t eval_every = 10, eval_problems = 200;
  int64_t samples_shown = 6;          // answers that each evaluation leaves in samples.jsonl
  int64_t micro_batch_tokens = 8192;  // about as many are trained on at a time; bounds memory, changes no result
  uint64_t seed = 0;
};
RlSettings rl_settings(const Recipe& recipe);

// model is changed in place. reference: the frozen policy of the KL term, null where its weight is 0.
void run_grpo(Transformer& model, Transformer* reference, const Tokenizer& tokenizer, const Task& task,
              const RlSettings& settings, const RunContext& run);

}  // namespace tenth
