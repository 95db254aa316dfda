// Greedy continuations of the golden models, by prefill and decode, equal to PyTorch's.
#include "engine/generator.h"
#include "nn/golden_models.h"

namespace tenth::testing {
namespace {

class GoldenGreedy : public ::testing::TestWithParam<std::tuple<std::string, const char*>> {};

TEST_P(GoldenGreedy, TokensAreEqualAndLogprobsClose) {
  const auto& [name, backend] = GetParam();
  TENTH_SKIP_NOT_YET(name);
  const GoldenModel golden(name);
  if (!golden.has("greedy.tokens")) GTEST_SKIP() << name << " has no greedy continuation in its fixture";
  const auto model = golden.load(get_backend(backend), DType::kF32);
  const std::vector<int32_t> want = golden.ids("greedy.tokens");
  const Values logprobs = golden.values("greedy.logprobs_f64");
  GenerationRequest request;
  request.prompt = golden.ids("greedy.prompt");
  request.sampling.temperature = 0;
  request.max_new_tokens = int32_t(want.size());
  for (const CacheForm form : {CacheForm::kLatent, CacheForm::kExpanded}) {
    Generator generator(*model, {.cache = form});
    const std::vector<Completion> got = generator.generate({&request, 1});
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].ids, want);
    EXPECT_LE(distance(Values(got[0].logprobs.begin(), got[0].logprobs.end()), logprobs), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenGreedy,
                         ::testing::Combine(::testing::ValuesIn(golden_model_names()),
                                            ::testing::Values("reference", "cpu")),
                         [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); });

}  // namespace
}  // namespace tenth::testing
