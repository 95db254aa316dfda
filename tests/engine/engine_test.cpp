// What a request gets from the engine depends on it alone: not on its company, its prompt's parts, the cache, or those
// who leave.
#include <algorithm>

#include "base/threads.h"
#include "engine/answers.h"

namespace tenth::testing {
namespace {

class BatchingEngine : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Transformer> model(DType compute = DType::kF32) {
    return tiny_model(GetParam(), get_backend("cpu"), compute);
  }
  std::vector<EngineRequest> requests_ = mixed(tiny_config(GetParam()));
};

TEST_P(BatchingEngine, CompanyAndPartsOfPromptsDoNotMatter) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = this->model(compute);
    const Answers want = alone(*model, requests_);
    for (const int64_t step_tokens : {1, 7, 64, 1000})
      for (const int64_t sequences : {1, 3, 8}) {
        Engine engine(*model, {.max_sequences = sequences, .step_tokens = step_tokens});
        expect_same(run(engine, requests_), want,
                    fmt::format("{}, {} tokens a step, {} sequences", name_of(compute), step_tokens, sequences));
      }
  }
}

TEST_P(BatchingEngine, ThreadsDoNotMatter) {
  const auto model = this->model();
  const Answers want = alone(*model, requests_);
  const int threads = thread_count();
  for (const int count : {1, 3}) {
    set_thread_count(count);
    Engine engine(*model, {});
    expect_same(run(engine, requests_), want, fmt::format("{} threads", count));
  }
  set_thread_count(threads);
}

// Blocks for one long request only: the others have to give way, some of them in the middle of an answer.
TEST_P(BatchingEngine, GivingWayChangesNothing) {
  const auto model = this->model();
  const Answers want = alone(*model, requests_);
  for (const int64_t tokens : {256, 320, 512}) {
    Engine engine(*model, {.cache_tokens = tokens, .step_tokens = 64});
    expect_same(run(engine, requests_), want, fmt::format("a cache of {} tokens", tokens));
    if (tokens == 320) {
      EXPECT_GT(engine.statistics().preemptions, 0);
    }
  }
}

TEST_P(BatchingEngine, WhatIsFoundInTheCacheIsWhatWouldBeComputed) {
  const auto model = this->model();
  const Answers want = alone(*model, requests_);
  Engine engine(*model, {.cache_tokens = 4096});
  expect_same(run(engine, requests_), want, "first");
  const int64_t computed = engine.statistics().prompt_tokens;
  const Answers again = run(engine, requests_);
  expect_same(again, want, "second");
  // All full blocks but that of the last token; nothing for the one that wants its prompt's log-probabilities.
  for (const EngineRequest& request : requests_) {
    const int64_t whole = (int64_t(request.prompt.size()) - 1) / kCacheBlock * kCacheBlock;
    EXPECT_EQ(again.at(request.id).cached, request.prompt_logprobs ? 0 : whole) << request.id;
  }
  EXPECT_LT(engine.statistics().prompt_tokens, 2 * computed);
  // A cache that has been overwritten by others finds nothing wrong.
  Engine small(*model, {.cache_tokens = 320});
  for (int round = 0; round < 3; round++) expect_same(run(small, requests_), want, "in a small cache");
}

TEST_P(BatchingEngine, ThoseWhoLeaveLeaveNothing) {
  const auto model = this->model();
  const Answers want = alone(*model, requests_);
  Rng rng(3);
  for (int round = 0; round < 6; round++) {
    Engine engine(*model, {.max_sequences = 4, .cache_tokens = 512, .step_tokens = 64});
    Answers answers;
    std::vector<EngineEvent> events;
    std::set<uint64_t> gone;
    for (const EngineRequest& request : requests_) engine.add(request);
    while (!engine.idle()) {
      if (rng.chance(0.3)) {
        const uint64_t id = requests_[rng.below(requests_.size())].id;
        engine.cancel(id);
        gone.insert(id);
      }
      if (engine.idle()) break;
      events.clear();
      engine.step(events);
      for (const EngineEvent& event : events)
        EXPECT_FALSE(gone.count(event.request) && answers[event.request].end.empty()) << "an event for one that left";
      take(events, answers);
    }
    EXPECT_EQ(engine.statistics().blocks_in_use, 0);
    EXPECT_EQ(engine.statistics().waiting, 0);
    for (const auto& [id, answer] : answers)
      if (!gone.count(id)) expect_equal(answer.tokens, want.at(id).tokens, fmt::format("request {}", id));
  }
}

TEST_P(BatchingEngine, PromptsAreScoredAsAFullPassDoes) {
  const auto model = this->model();
  const EngineRequest& request = requests_[2];
  const Answer answer = alone(*model, {request}).at(request.id);
  ASSERT_EQ(answer.prompt.size(), request.prompt.size());
  NoGrad off;
  Pass pass;
  const std::vector<int32_t> lengths = {int32_t(request.prompt.size())};
  pass.batch = make_batch(model->backend(), request.prompt, lengths);
  const Tensor logits = model->logits(model->hidden(pass)).value();
  for (size_t i = 1; i < request.prompt.size(); i++) {
    const float* row = logits.data<float>() + int64_t(i - 1) * logits.dim(1);
    double sum = 0;
    for (int64_t v = 0; v < logits.dim(1); v++) sum += std::exp(double(row[v]));
    EXPECT_NEAR(answer.prompt[i].logprob, row[request.prompt[i]] - std::log(sum), 2e-5) << i;
    EXPECT_EQ(answer.prompt[i].id, request.prompt[i]);
    EXPECT_NEAR(answer.prompt[i].top.at(0).logprob, *std::max_element(row, row + logits.dim(1)) - std::log(sum), 2e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, BatchingEngine, ::testing::Values("gqa", "mla"),
                         [](const auto& info) { return info.param; });

TEST(EngineRequests, RulesForbidAndFavour) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  EngineRequest request;
  request.id = 1;
  request.prompt = {1, 2, 3};
  request.sampling.temperature = 0;
  request.max_new_tokens = 20;
  const std::vector<int32_t> free = alone(*model, {request}).at(1).ids();
  EngineRequest biased = request;
  biased.rules.bias = {{5, 100.0f}};
  EXPECT_EQ(alone(*model, {biased}).at(1).ids(), std::vector<int32_t>(20, 5));
  EngineRequest forbidden = request;
  forbidden.rules.bias = {{free[0], -100.0f}};
  for (int32_t id : alone(*model, {forbidden}).at(1).ids()) EXPECT_NE(id, free[0]);
  EngineRequest stopping = request;
  stopping.stop_ids = {free[0]};
  EXPECT_EQ(alone(*model, {stopping}).at(1).tokens.size(), 1u);
  stopping.rules.min_new_tokens = 4;
  EXPECT_GE(alone(*model, {stopping}).at(1).tokens.size(), 5u);
  EngineRequest repeating = biased;
  repeating.rules.bias = {{5, 3.0f}};
  repeating.rules.frequency_penalty = 2;
  const std::vector<int32_t> varied = alone(*model, {repeating}).at(1).ids();
  EXPECT_LT(std::count(varied.begin(), varied.end(), 5), 20);
}

TEST(EngineRequests, WhatCanNeverRunIsRefused) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  Engine engine(*model, {.cache_tokens = 128});
  EngineRequest good;
  good.prompt = {1, 2};
  good.max_new_tokens = 16;
  engine.check(good);
  const auto refuses = [&](auto change, const std::string& text) {
    EngineRequest request = good;
    change(request);
    try {
      engine.check(request);
      ADD_FAILURE() << "not refused: " << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  refuses([](auto& r) { r.prompt.clear(); }, "at least one token");
  refuses([](auto& r) { r.prompt = {1, 1 << 20}; }, "expected ids in 0");
  refuses([](auto& r) { r.prompt = {-1}; }, "expected ids in 0");
  refuses([](auto& r) { r.max_new_tokens = 1 << 20; }, "the model's context is");
  refuses([](auto& r) { r.max_new_tokens = 200; }, "the cache holds 128");
  refuses([](auto& r) { r.sampling.temperature = -1; }, "temperature");
  refuses([](auto& r) { r.rules.bias = {{1 << 20, 1.0f}}; }, "expected ids in 0");
}

TEST(EngineRequests, AModelThatAnswersNaNFailsThatRequestOnly) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  model->backend().fill(model->parameters()[3].value(), std::nan(""));
  model->refresh();
  EngineRequest request;
  request.id = 1;
  request.prompt = {1, 2};
  const Answers answers = alone(*model, {request});
  EXPECT_EQ(answers.at(1).end, "failed: the model's logits are not finite");
}

}  // namespace
}  // namespace tenth::testing
