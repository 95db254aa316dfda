// Guesses in the engine: with them, as without, a request gets the same bits; in fewer steps where they are right, and
// where there is room for them.
#include <algorithm>
#include <numeric>

#include "engine/answers.h"

namespace tenth::testing {
namespace {

// Every token is a letter of its own; 1 ends a text.
std::shared_ptr<GrammarMasks> letters(const std::string& gbnf) {
  std::vector<std::string> bytes(40);
  for (size_t id = 4; id < 30; id++) bytes[id] = std::string(1, char('a' + id - 4));
  const std::vector<int32_t> ends = {1};
  return std::make_shared<GrammarMasks>(Grammar::from_gbnf(gbnf, "g"),
                                        std::make_shared<const GrammarVocabulary>(bytes, ends));
}

// Prompts that repeat themselves, and all that may bear upon a draw.
std::vector<EngineRequest> repeating(const ModelConfig& config) {
  Rng rng(17);
  std::vector<EngineRequest> requests;
  for (size_t i = 0; i < 12; i++) {
    const std::vector<int32_t> part = random_ids(rng, int64_t(3 + 5 * (i % 4)), config.vocab_size);
    EngineRequest& r = requests.emplace_back(greedy(10 + i, {}, int32_t(25 + 7 * (i % 5))));
    for (int times = 0; times < 4; times++) r.prompt.insert(r.prompt.end(), part.begin(), part.end());
    r.sampling.temperature = std::vector<double>{0, 0.2, 0.9, 2}[i % 4];
    r.sampling.top_p = i == 6 ? 0.8 : 1;
    r.sampling.seed = i;
    r.sample = i % 3;
    r.top_logprobs = int32_t(i % 4) - 1;
    if (i % 3 == 0) r.stop_ids = {3};
  }
  requests[1].sampling.repetition_penalty = 1.2;
  requests[2].rules.bias = {{5, 4.0f}, {6, 3.0f}};
  requests[3].rules.frequency_penalty = 0.2;
  requests[3].rules.presence_penalty = 0.1;
  requests[4].prompt_logprobs = true;
  requests[5].thinking = {.begin = 2, .end = 4, .open = true, .budget = 9};
  requests[7].grammar = letters("root ::= (\"ab\" | \"cad\")*");
  requests[8].grammar = letters("root ::= \"abcabcabcabcabc\" [a-f]*");
  requests[8].thinking = {.begin = 2, .end = 4, .open = true, .budget = 6};
  requests[8].stop_ids = {1};
  requests[9].grammar = letters("root ::= \"xyxyxyxyxyxy\"");
  requests[9].stop_ids = {1};
  requests[10].grammar = letters("root ::= \"xyxyxyxyxyxyxyZ\"");  // no token spells Z
  requests[11].rules.min_new_tokens = 20;
  requests[11].rules.bias = {{3, 6.0f}};
  return requests;
}

class EngineSpeculation : public ::testing::TestWithParam<std::string> {};

TEST_P(EngineSpeculation, ChangesNothingOfWhatIsDrawn) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = tiny_model(GetParam(), get_backend("cpu"), compute);
    for (const auto& requests : {repeating(model->config()), mixed(model->config())}) {
      const Answers want = alone(*model, requests);
      for (const int32_t drafts : {1, 3, 8, 64})
        for (const int64_t sequences : {1, 3, 12}) {
          Engine engine(*model, {.max_sequences = sequences, .lookup_drafts = drafts});
          expect_same(run(engine, requests), want,
                      fmt::format("{}, {} drafts, {} sequences", name_of(compute), drafts, sequences));
        }
    }
    Engine engine(*model, {.max_sequences = 1});
    const Answers answers = run(engine, repeating(model->config()));
    EXPECT_EQ(answers.at(19).end, "stop");
    EXPECT_EQ(answers.at(20).end, "failed: no token of the model can go on with what the grammar asks for");
    const EngineStatistics& s = engine.statistics();
    EXPECT_GT(s.accepted_tokens, 30);
    EXPECT_GT(s.draft_tokens - s.accepted_tokens, 15);
    EXPECT_EQ(std::accumulate(s.accepted_at.begin(), s.accepted_at.end(), int64_t(0)), s.accepted_tokens);
    EXPECT_LE(s.drafts, s.draft_tokens);
  }
}

// Blocks for few: some give way in the middle of an answer, with guesses that they feed when they are back.
TEST_P(EngineSpeculation, GivingWayChangesNothing) {
  const auto model = tiny_model(GetParam(), get_backend("cpu"), DType::kF32);
  std::vector<EngineRequest> requests = repeating(model->config());
  for (EngineRequest& request : requests) request.max_new_tokens = 100;
  const Answers want = alone(*model, requests);
  for (const int64_t tokens : {192, 320, 512}) {
    Engine engine(*model, {.max_sequences = 6, .cache_tokens = tokens});
    expect_same(run(engine, requests), want, fmt::format("a cache of {} tokens", tokens));
    EXPECT_GT(engine.statistics().preemptions, 0) << tokens;
    EXPECT_GT(engine.statistics().accepted_tokens, 0) << tokens;
  }
}

// A text that can only go on in one way, for the sake of a grammar, is guessed right: its length ends it at each place
// of a draft.
TEST_P(EngineSpeculation, LengthEndsADraftAtAnyPlace) {
  const auto model = tiny_model(GetParam(), get_backend("cpu"), DType::kF32);
  const std::vector<int32_t> loop = {4, 9, 4, 11, 7};
  EngineRequest request = greedy(1, {}, 0);
  std::string text;
  for (size_t i = 0; i < 60; i++) text += char('a' + loop[i % loop.size()] - 4);
  for (size_t i = 0; i < 15; i++) request.prompt.push_back(loop[i % loop.size()]);
  request.grammar = letters("root ::= \"" + text + "\"");
  request.top_logprobs = 2;
  for (int32_t length = 0; length <= 30; length++) {
    request.max_new_tokens = length;
    Engine engine(*model, {});
    expect_same(run(engine, {request}), alone(*model, {request}), fmt::format("{} tokens", length));
    if (length > 15) {
      EXPECT_LT(engine.statistics().steps, length / 2) << length;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, EngineSpeculation, ::testing::Values("gqa", "mla", "mla_mtp", "qwen3_moe"),
                         [](const auto& info) { return info.param; });

// What a model says when it is greedy falls into a loop: as a prompt it makes guesses that come true.
std::vector<int32_t> looped(Transformer& model) {
  const EngineRequest request = greedy(1, {4, 9, 2}, 80);
  return alone(model, {request}).at(1).ids();
}

TEST(EngineGuesses, StopIdsEndADraftAtAnyPlace) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  EngineRequest request = greedy(1, looped(*model), 60);
  const std::vector<int32_t> free = alone(*model, {request}).at(1).ids();
  std::vector<int32_t> tried;
  for (size_t i = 0; i < free.size(); i++) {
    // Not before: the loop is shorter than a draft can be.
    if (std::find(tried.begin(), tried.end(), free[i]) != tried.end()) continue;
    tried.push_back(free[i]);
    request.stop_ids = {free[i]};
    Engine engine(*model, {});
    const Answers answers = run(engine, {request});
    expect_same(answers, alone(*model, {request}), fmt::format("stop at {}", i));
    EXPECT_EQ(answers.at(1).end, "stop");
  }
}

TEST(EngineGuesses, TakeFewerStepsWhereTheyAreRight) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  EngineRequest request = greedy(1, {5, 5, 5}, 60);
  request.rules.bias = {{5, 100.0f}};
  Engine plain(*model, {.lookup_drafts = 0}), fast(*model, {});
  expect_same(run(fast, {request}), run(plain, {request}), "a token again and again");
  EXPECT_EQ(plain.statistics().steps, 60);
  EXPECT_EQ(plain.statistics().draft_tokens, 0);
  EXPECT_LE(fast.statistics().steps, 16);
  EXPECT_EQ(fast.statistics().draft_tokens, fast.statistics().accepted_tokens);
  EXPECT_EQ(fast.statistics().new_tokens, 60);
}

// The more rows a step has, the surer a guess has to be.
TEST(EngineGuesses, YieldToTheBatch) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  const std::vector<int32_t> loop = looped(*model);
  std::vector<EngineRequest> requests;
  for (uint64_t i = 0; i < 32; i++) {
    requests.push_back(greedy(i, loop, 60));
    requests.back().sampling.temperature = 1.3;
    requests.back().sampling.seed = i;
  }
  std::vector<double> shares;
  for (const int64_t sequences : {1, 4, 32}) {
    Engine engine(*model, {.max_sequences = sequences, .cache_tokens = 1 << 14});
    run(engine, requests);
    const EngineStatistics& s = engine.statistics();
    shares.push_back(double(s.draft_tokens) / double(s.new_tokens));
  }
  EXPECT_GT(shares[0], 1.5 * shares[1]) << shares[0] << " " << shares[1] << " " << shares[2];
  EXPECT_GT(shares[1], 5 * shares[2]) << shares[0] << " " << shares[1] << " " << shares[2];
}

// Only what was drawn is found again, and it is what a fresh engine computes.
TEST(EngineGuesses, LeaveNothingInThePrefixCache) {
  for (const char* kind : {"gqa", "mla"}) {
    const auto model = tiny_model(kind, get_backend("cpu"), DType::kF32);
    Engine engine(*model, {.cache_tokens = 2048});
    const std::vector<EngineRequest> first = repeating(model->config());
    const Answers answers = run(engine, first);
    EXPECT_GT(engine.statistics().draft_tokens, engine.statistics().accepted_tokens);
    std::vector<EngineRequest> second;
    for (const EngineRequest& request : first) {
      EngineRequest& next = second.emplace_back(greedy(100 + request.id, request.prompt, 8));
      const std::vector<int32_t> said = answers.at(request.id).ids();
      next.prompt.insert(next.prompt.end(), said.begin(), said.end());
      next.prompt.push_back(8);
      next.top_logprobs = 3;
    }
    const Answers again = run(engine, second);
    expect_same(again, alone(*model, second), kind);
    for (const EngineRequest& request : second) {
      const int64_t whole = (int64_t(request.prompt.size()) - 2) / kCacheBlock * kCacheBlock;
      EXPECT_GE(again.at(request.id).cached, whole) << kind << " " << request.id;
    }
  }
}

TEST(EngineGuesses, AreJudgedFedOrNot) {
  Guesses guesses;
  const std::vector<int32_t> text = {1, 2, 3, 1, 2};
  guesses.look(text, 3);
  EXPECT_EQ(std::vector<int32_t>(guesses.ids().begin(), guesses.ids().end()), (std::vector<int32_t>{3, 1, 2}));
  EXPECT_EQ(guesses.chance(1), 0.5);
  EXPECT_EQ(guesses.chance(2), 0.25);
  guesses.came(3);
  EXPECT_EQ(guesses.chance(1), 0.5625);
  guesses.came(7);
  EXPECT_LT(guesses.chance(1), 0.5);
  const double trust = guesses.chance(1);
  guesses.came(2);  // behind a wrong one nothing was guessed
  EXPECT_EQ(guesses.chance(1), trust);
  guesses.look(text, 0);
  EXPECT_TRUE(guesses.ids().empty());
  guesses.came(3);
  EXPECT_EQ(guesses.chance(1), trust);
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  EXPECT_THROW(Engine(*model, {.lookup_drafts = 65}), Error);
  EXPECT_THROW(Engine(*model, {.lookup_drafts = -1}), Error);
}

}  // namespace
}  // namespace tenth::testing
