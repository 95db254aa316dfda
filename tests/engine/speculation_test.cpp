// Drafts of the multi-token prediction module: the same output, in fewer steps where drafts are right.
#include "engine/counting_model.h"
#include "engine/engine_util.h"

namespace tenth::testing {
namespace {

std::vector<GenerationRequest> counting_requests(double temperature) {
  std::vector<GenerationRequest> requests;
  for (int32_t start : {0, 4, 7}) {
    GenerationRequest request;
    request.prompt = {start, start + 1, start + 2};
    request.sampling.temperature = temperature;
    request.sampling.seed = uint64_t(start);
    request.samples = 2;
    request.max_new_tokens = 10 + start;
    requests.push_back(request);
  }
  return requests;
}

TEST(Speculation, AnEasySequenceTakesHalfTheSteps) {
  const auto model = counting_model();
  const auto requests = counting_requests(0);
  Generator plain(*model, {}), fast(*model, {.speculate = true});
  const std::vector<Completion> want = plain.generate(requests);
  ASSERT_EQ(want[0].ids, (std::vector<int32_t>{3, 4, 5, 6, 7, 8, 9, 0, 1, 2}));
  expect_same(fast.generate(requests), want, "greedy");
  const GenerationStatistics &slow = plain.statistics(), &quick = fast.statistics();
  EXPECT_EQ(quick.new_tokens, slow.new_tokens);
  EXPECT_EQ(quick.new_tokens, 2 * (10 + 14 + 17));
  EXPECT_EQ(slow.drafts, 0);
  EXPECT_EQ(slow.steps, 16);  // the longest request's 17 tokens, the first of them from prefill
  EXPECT_EQ(quick.accepted, quick.drafts);
  EXPECT_GT(quick.accepted, 0);
  EXPECT_EQ(quick.steps, 8);
}

TEST(Speculation, DrawsAreTheSameWithAndWithoutDrafts) {
  const auto model = counting_model();
  for (const double temperature : {0.7, 1.0, 3.0}) {
    const auto requests = counting_requests(temperature);
    Generator fast(*model, {.speculate = true});
    expect_same(fast.generate(requests), generate(*model, requests), fmt::format("temperature {}", temperature));
    if (temperature == 3.0) {
      EXPECT_LT(fast.statistics().accepted, fast.statistics().drafts);
    }
  }
}

// What the module stores at a prompt's last position depends on the token that a sample drew after it, so samples must
// not share that block, full as it is. No output shows a draft from another's: the number of accepted ones, over many,
// does.
TEST(Speculation, SamplesOfOnePromptDraftForThemselves) {
  const auto model = tiny_model("mla_mtp", get_backend("cpu"), DType::kF32);
  GenerationRequest request;
  Rng rng(3);
  request.prompt = random_ids(rng, kCacheBlock, model->config().vocab_size);
  request.samples = 40;
  request.max_new_tokens = 60;
  request.sampling = {.temperature = 2, .seed = 4};
  Generator apart(*model, {.slots = 1, .speculate = true}), together(*model, {.speculate = true});
  expect_same(together.generate({&request, 1}), apart.generate({&request, 1}), "40 samples");
  EXPECT_GT(apart.statistics().accepted, 50);
  EXPECT_EQ(together.statistics().drafts, apart.statistics().drafts);
  EXPECT_EQ(together.statistics().accepted, apart.statistics().accepted);
}

// An untrained module: nearly every draft is refused, and what it stored must leave no trace.
TEST(Speculation, WrongDraftsChangeNothing) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = tiny_model("mla_mtp", get_backend("cpu"), compute);
    const auto requests = mixed_requests(model->config());
    for (const CacheForm form : {CacheForm::kLatent, CacheForm::kExpanded}) {
      for (const int64_t slots : {256, 2}) {
        GenerationOptions options{.slots = slots, .cache = form, .record_routing = true};
        const std::vector<Completion> want = generate(*model, requests, options);
        options.speculate = true;
        Generator generator(*model, options);
        expect_same(generator.generate(requests), want, fmt::format("{} slots", slots));
        EXPECT_GT(generator.statistics().drafts, generator.statistics().accepted);
      }
    }
  }
}

}  // namespace
}  // namespace tenth::testing
