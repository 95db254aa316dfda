// Drafts by looking back: what they are, that they change nothing, and that they save steps.
#include "engine/drafts.h"

#include <numeric>

#include "engine/engine_util.h"

namespace tenth::testing {
namespace {

using Ids = std::vector<int32_t>;

Ids lookup(const Ids& prompt, const Ids& output, int64_t most) {
  Ids drafts = {7, 7};
  lookup_drafts(prompt, output, most, drafts);
  return drafts;
}

TEST(LookupDrafts, AreWhatStoodBehindTheLastIds) {
  EXPECT_EQ(lookup({1, 2, 3, 4, 5, 9, 1, 2}, {}, 3), (Ids{3, 4, 5}));
  EXPECT_EQ(lookup({1, 2, 3, 4, 5}, {9, 1, 2}, 2), (Ids{3, 4})) << "of the prompt, by the output's ids";
  EXPECT_EQ(lookup({9, 9}, {1, 2, 3, 1, 2}, 1), (Ids{3}));
  EXPECT_EQ(lookup({1, 2, 3, 1, 2, 4, 1, 2}, {}, 1), (Ids{4})) << "the latest of equals";
  EXPECT_EQ(lookup({8, 1, 2, 3, 7, 1, 2, 4, 8, 1, 2}, {}, 1), (Ids{3})) << "but rather a longer match";
  EXPECT_EQ(lookup({1, 2, 1, 2, 1, 2}, {}, 5), (Ids{1, 2, 1, 2, 1})) << "beyond the end it goes on";
  EXPECT_EQ(lookup({5, 5, 5}, {}, 4), (Ids{5, 5, 5, 5}));
  EXPECT_EQ(lookup({1, 2, 3, 4}, {}, 4), Ids{});
  EXPECT_EQ(lookup({3, 1, 3}, {}, 4), Ids{}) << "one id is no match";
  EXPECT_EQ(lookup({1}, {}, 4), Ids{});
  EXPECT_EQ(lookup({1, 2, 1, 2}, {}, 0), Ids{});
}

// Text that repeats: a model of random weights falls into loops when it is greedy.
std::vector<GenerationRequest> looping_requests(const ModelConfig& config, double temperature) {
  std::vector<GenerationRequest> requests = mixed_requests(config);
  for (GenerationRequest& request : requests) {
    request.sampling.temperature = temperature;
    request.prompt.insert(request.prompt.end(), request.prompt.begin(), request.prompt.end());
    request.max_new_tokens += 40;
    request.stop_ids = {3};
  }
  return requests;
}

TEST(LookupDrafts, GreedyLoopsTakeFewerSteps) {
  for (const char* kind : {"gqa", "mla", "qwen3_moe"}) {
    SCOPED_TRACE(kind);
    const auto model = tiny_model(kind, get_backend("cpu"), DType::kF32);
    const auto requests = looping_requests(model->config(), 0);
    Generator plain(*model, {.slots = 4}), fast(*model, {.slots = 4, .lookup_drafts = 5});
    expect_same(fast.generate(requests), plain.generate(requests), "greedy");
    const GenerationStatistics &slow = plain.statistics(), &quick = fast.statistics();
    EXPECT_EQ(quick.new_tokens, slow.new_tokens);
    EXPECT_GT(quick.accepted, 0);
    EXPECT_LT(quick.steps, slow.steps);
    EXPECT_GE(quick.drafts, quick.accepted);
  }
}

TEST(LookupDrafts, ChangeNothingOfWhatIsDrawn) {
  for (const char* kind : {"gqa", "mla_mtp"}) {
    const auto model = tiny_model(kind, get_backend("cpu"), DType::kF32);
    for (const double temperature : {0.0, 0.3, 0.9, 2.0}) {
      const auto requests = looping_requests(model->config(), temperature);
      for (const int32_t drafts : {1, 3, 8}) {
        for (const CacheForm form : {CacheForm::kLatent, CacheForm::kExpanded}) {
          GenerationOptions options{.slots = 5, .cache = form, .record_routing = true};
          const std::vector<Completion> want = generate(*model, requests, options);
          options.lookup_drafts = drafts;
          options.speculate = model->has_mtp();  // both, one where the other has none
          expect_same(generate(*model, requests, options), want,
                      fmt::format("{} at {}, {} drafts", kind, temperature, drafts));
        }
      }
    }
  }
}

// Lossless as a distribution: of many samples, each token at each place as often as without drafts, by a chi-square
// test over samples of other seeds. The prompt ends in a loop that the model falls into when it is greedy, so that
// there are drafts to accept and to refuse.
TEST(LookupDrafts, KeepTheDistribution) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  constexpr int32_t kSamples = 3000, kPlaces = 4;
  GenerationRequest loop;
  loop.prompt = {4, 9, 2};
  loop.max_new_tokens = 60;
  loop.sampling.temperature = 0;
  const std::vector<int32_t> looped = generate(*model, {loop})[0].ids;
  const auto counts = [&](int32_t drafts, uint64_t seed) {
    GenerationRequest request;
    request.prompt = looped;
    request.samples = kSamples;
    request.max_new_tokens = kPlaces;
    request.sampling = {.temperature = 0.8, .top_k = 6, .seed = seed};
    Generator generator(*model, {.slots = 500, .lookup_drafts = drafts});
    std::vector<std::vector<double>> seen(kPlaces, std::vector<double>(size_t(model->config().vocab_size)));
    for (const Completion& completion : generator.generate({&request, 1}))
      for (size_t i = 0; i < completion.ids.size(); i++) seen[i][size_t(completion.ids[i])]++;
    if (drafts) {
      EXPECT_GT(generator.statistics().accepted, 50);
      EXPECT_GT(generator.statistics().drafts - generator.statistics().accepted, 50);
    }
    return seen;
  };
  const auto plain = counts(0, 1), drafted = counts(3, 2);
  for (int32_t place = 0; place < kPlaces; place++) {
    double chi = 0;
    int degrees = -1;
    for (size_t id = 0; id < plain[size_t(place)].size(); id++) {
      const double a = plain[size_t(place)][id], b = drafted[size_t(place)][id];
      if (a + b < 10) continue;
      chi += (a - b) * (a - b) / (a + b);
      degrees++;
    }
    ASSERT_GT(degrees, 0) << "more than one token to choose";
    // mean d, deviation sqrt(2 d): five deviations, at seeds that are fixed
    EXPECT_LT(chi, degrees + 5 * std::sqrt(2.0 * degrees)) << "place " << place;
  }
}

TEST(LookupDrafts, TooManyAreRefused) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  EXPECT_THROW(Generator(*model, {.lookup_drafts = 65}), Error);
  EXPECT_THROW(Generator(*model, {.lookup_drafts = -1}), Error);
}

}  // namespace
}  // namespace tenth::testing
