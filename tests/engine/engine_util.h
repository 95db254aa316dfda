// Requests, and completions compared to the bit.
#pragma once
#include "engine/generator.h"
#include "nn/tiny_models.h"

namespace tenth::testing {

inline void expect_same(const std::vector<Completion>& got, const std::vector<Completion>& want,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); i++) {
    EXPECT_EQ(got[i].ids, want[i].ids) << what << ", completion " << i;
    EXPECT_EQ(got[i].logprobs, want[i].logprobs) << what << ", completion " << i;
    EXPECT_EQ(got[i].stopped, want[i].stopped) << what << ", completion " << i;
    EXPECT_EQ(got[i].experts, want[i].experts) << what << ", completion " << i;
  }
}

// Requests of many kinds: lengths of 1 and more, one and several samples, greedy and drawn, some that stop.
inline std::vector<GenerationRequest> mixed_requests(const ModelConfig& config) {
  Rng rng(21);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 6; i++) {
    GenerationRequest r;
    r.prompt = random_ids(rng, std::vector<int64_t>{5, 1, 17, 9, 30, 2}[size_t(i)], config.vocab_size);
    r.samples = std::vector<int32_t>{1, 4, 2, 1, 3, 1}[size_t(i)];
    r.max_new_tokens = std::vector<int32_t>{12, 7, 1, 20, 9, 16}[size_t(i)];
    r.sampling.temperature = i == 3 ? 0 : 0.9;
    r.sampling.top_p = i == 1 ? 0.8 : 1;
    r.sampling.repetition_penalty = i == 4 ? 1.3 : 1;
    r.sampling.seed = uint64_t(100 + i);
    if (i != 0) r.stop_ids = {3, 7, 11};
    requests.push_back(r);
  }
  return requests;
}

inline std::vector<Completion> generate(Transformer& model, const std::vector<GenerationRequest>& requests,
                                        const GenerationOptions& options = {}) {
  return Generator(model, options).generate(requests);
}

}  // namespace tenth::testing
