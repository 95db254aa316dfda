// Guesses of the multi-token prediction module in the engine: the same bits, in fewer steps where they are right; and
// the module's rows in blocks that are found again, in memory and on disk, are what a fresh engine computes.
#include "engine/answers.h"
#include "engine/counting_model.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

std::vector<int32_t> count(int32_t from, int32_t tokens) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < tokens; i++) ids.push_back((from + i) % 10);
  return ids;
}

TEST(EngineModule, ChangesNothingOfWhatIsDrawn) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = tiny_model("mla_mtp", get_backend("cpu"), compute);
    const std::vector<EngineRequest> requests = mixed(model->config());
    const Answers want = alone(*model, requests);
    for (const int32_t lookup : {0, 8})
      for (const int64_t sequences : {1, 3, 8})
        for (const int64_t step : {7, 128}) {
          const EngineOptions options = {
              .max_sequences = sequences, .step_tokens = step, .lookup_drafts = lookup, .module_drafts = true};
          Engine engine(*model, options);
          expect_same(run(engine, requests), want,
                      fmt::format("{}, {} looked up, {} sequences", name_of(compute), lookup, sequences));
          EXPECT_GT(engine.statistics().draft_tokens, 0);
        }
    Engine small(*model, {.max_sequences = 6, .cache_tokens = 320, .module_drafts = true});
    expect_same(run(small, requests), want, "a cache for few");
    EXPECT_GT(small.statistics().preemptions, 0);
  }
}

TEST(EngineModule, TakesFewerStepsWhereItIsRight) {
  const auto model = counting_model();
  std::vector<EngineRequest> requests = {greedy(1, count(3, 3), 10)};
  Engine plain(*model, {.lookup_drafts = 0}), fast(*model, {.lookup_drafts = 0, .module_drafts = true});
  const Answers answers = run(fast, requests);
  EXPECT_EQ(answers.at(1).ids(), count(6, 10));
  expect_same(answers, run(plain, requests), "counting");
  EXPECT_EQ(plain.statistics().steps, 10);
  EXPECT_LE(fast.statistics().steps, 6);
  EXPECT_EQ(fast.statistics().accepted_tokens, fast.statistics().draft_tokens);
  EXPECT_EQ(fast.statistics().accepted_at, std::vector<int64_t>{fast.statistics().accepted_tokens});
  // Beside as many others as make a guess not worth its row there are none.
  for (uint64_t i = 2; i < 34; i++) requests.push_back(greedy(i, count(int32_t(i % 10), 3), 10));
  Engine full(*model, {.max_sequences = 33, .lookup_drafts = 0, .module_drafts = true});
  const Answers many = run(full, requests);
  for (uint64_t i = 2; i < 34; i++) EXPECT_EQ(many.at(i).ids(), count(int32_t(i % 10) + 3, 10));
  EXPECT_LT(full.statistics().draft_tokens, full.statistics().new_tokens / 4);
  EXPECT_THROW(Engine(*tiny_model("mla", get_backend("cpu"), DType::kF32), {.module_drafts = true}), Error);
}

struct Counts {
  int64_t drafts, accepted, tokens;
  auto operator<=>(const Counts&) const = default;
};

// What one request did in an engine that has seen others.
Counts counts_of(Engine& engine, const EngineRequest& request, Answers* answers = nullptr) {
  const EngineStatistics before = engine.statistics();
  const Answers got = run(engine, {request});
  if (answers) *answers = got;
  const EngineStatistics& after = engine.statistics();
  return {after.draft_tokens - before.draft_tokens, after.accepted_tokens - before.accepted_tokens,
          after.new_tokens - before.new_tokens};
}

// No output shows what the module read; over many tokens the number of its guesses that were right does. Prompts that
// part at a block's end: the module's row there joins the state with the token behind, and so is another for each.
TEST(EngineModule, FindsItsRowsAgainAsTheyWere) {
  const auto model = counting_model();
  const EngineOptions options = {.max_sequences = 1, .cache_tokens = 4096, .lookup_drafts = 0, .module_drafts = true};
  Rng rng(5);
  const std::vector<int32_t> common = random_ids(rng, 2 * kCacheBlock, 10);
  Engine warm(*model, options);
  int64_t accepted = 0;
  for (int32_t i = 0; i < 12; i++) {
    EngineRequest request = greedy(uint64_t(i), common, 90);
    request.prompt.push_back(int32_t(i % 6));
    request.prompt.push_back(int32_t(i % 5));
    request.sampling.temperature = 1.5;
    request.sampling.seed = uint64_t(i);
    Answers answers, want;
    Engine fresh(*model, options);
    const Counts expected = counts_of(fresh, request, &want);
    EXPECT_EQ(counts_of(warm, request, &answers), expected) << i;
    expect_same(answers, want, fmt::format("request {}", i));
    // The second block ends where they part: found by those that go on with the same token.
    EXPECT_EQ(answers.at(uint64_t(i)).cached, i == 0 ? 0 : i < 6 ? kCacheBlock : 2 * kCacheBlock) << i;
    accepted += expected.accepted;
  }
  EXPECT_GT(accepted, 20);
}

TEST(EngineModule, AndOnDisk) {
  const auto model = tiny_model("mla_mtp", get_backend("cpu"), DType::kF32);
  const TempFolder folder;
  EngineOptions options = {.max_sequences = 1, .lookup_drafts = 0, .module_drafts = true};
  options.disk.folder = folder.path();
  Rng rng(6);
  EngineRequest request = greedy(1, random_ids(rng, 2 * kCacheBlock + 1, model->config().vocab_size), 90);
  request.sampling.temperature = 2;
  Answers want, again;
  Counts expected{};
  {
    Engine first(*model, options);
    expected = counts_of(first, request, &want);
    first.disk()->flush();
  }
  {
    Engine second(*model, options);
    EXPECT_EQ(counts_of(second, request, &again), expected);
    expect_same(again, want, "from disk");
    EXPECT_EQ(second.statistics().restored_blocks, 2);
  }
  // Blocks without the module's rows are others.
  options.module_drafts = false;
  Engine third(*model, options);
  expect_same(run(third, {request}), want, "without");
  EXPECT_EQ(third.statistics().restored_blocks, 0);
}

}  // namespace
}  // namespace tenth::testing
