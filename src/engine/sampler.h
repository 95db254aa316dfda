// From logits to a token: filters and a draw. The filters' order and rules are those of transformers' logits
// processors: repetition penalty, temperature, top-k, top-p, min-p.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenth {

struct SamplingParams {
  double temperature = 1;         // 0: the largest logit (the lowest id among equals)
  int top_k = 0;                  // 0: off; keeps logits >= the k-th largest
  double top_p = 1;               // 1: off; the shortest prefix of the sorted probabilities whose sum reaches it
  double min_p = 0;               // 0: off; keeps p >= min_p times the largest p
  double repetition_penalty = 1;  // 1: off; logits of ids in the history: divided if positive, else multiplied
  uint64_t seed = 0;
};

// Throws kInput naming the option that is out of its range.
void check_sampling(const SamplingParams& params);

class Sampler {
 public:
  // Turns logits into the filtered distribution, in place: probabilities that sum to 1, exact zeros where filtered.
  void probabilities(std::span<float> logits, const SamplingParams& params, std::span<const int32_t> history);
  // One token. draw: (sample, place) names the random number: the same seed, sample and place give the same draw in
  // whatever batch. Overwrites logits.
  int32_t sample(std::span<float> logits, const SamplingParams& params, std::span<const int32_t> history,
                 uint64_t sample, uint64_t place);

 private:
  void penalize(std::span<float> logits, double penalty, std::span<const int32_t> history);

  // Scratch
  std::vector<int32_t> order_;
  std::vector<float> sorted_;
  std::vector<uint8_t> seen_;  // all 0 between calls
};

}  // namespace tenth
