// Requests of many kinds to the engine, and what it answers, compared to the bit.
#pragma once
#include <map>

#include "engine/engine.h"
#include "nn/tiny_models.h"

namespace tenth::testing {

using Kind = EngineEvent::Kind;

struct Answer {
  std::vector<TokenReport> prompt, tokens;
  int64_t cached = 0;
  std::string end;
  std::vector<int32_t> ids() const {
    std::vector<int32_t> y;
    for (const TokenReport& token : tokens) y.push_back(token.id);
    return y;
  }
};

using Answers = std::map<uint64_t, Answer>;

inline void take(const std::vector<EngineEvent>& events, Answers& answers) {
  for (const EngineEvent& event : events) {
    Answer& answer = answers[event.request];
    EXPECT_TRUE(answer.end.empty()) << "an event after the end";
    switch (event.kind) {
      case Kind::kStarted:
        answer.cached = event.cached_tokens;
        answer.prompt = event.prompt;
        break;
      case Kind::kToken: answer.tokens.push_back(event.token); break;
      case Kind::kStopped: answer.end = "stop"; break;
      case Kind::kLength: answer.end = "length"; break;
      case Kind::kFailed: answer.end = "failed: " + event.error; break;
    }
  }
}

// One request joins at each step.
inline Answers run(Engine& engine, const std::vector<EngineRequest>& requests) {
  Answers answers;
  std::vector<EngineEvent> events;
  for (size_t next = 0; next < requests.size() || !engine.idle();) {
    if (next < requests.size()) {
      engine.check(requests[next]);
      engine.add(requests[next++]);
    }
    events.clear();
    engine.step(events);
    take(events, answers);
  }
  EXPECT_EQ(engine.statistics().running, 0);
  EXPECT_EQ(engine.statistics().blocks_in_use, 0) << "blocks that nobody gave back";
  return answers;
}

inline void expect_equal(const std::vector<TokenReport>& got, const std::vector<TokenReport>& want,
                         const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < want.size(); i++) {
    EXPECT_EQ(got[i].id, want[i].id) << what << ", token " << i;
    EXPECT_EQ(got[i].logprob, want[i].logprob) << what << ", token " << i;
    ASSERT_EQ(got[i].top.size(), want[i].top.size()) << what << ", token " << i;
    for (size_t j = 0; j < want[i].top.size(); j++) {
      EXPECT_EQ(got[i].top[j].id, want[i].top[j].id) << what << ", token " << i;
      EXPECT_EQ(got[i].top[j].logprob, want[i].top[j].logprob) << what << ", token " << i;
    }
  }
}

inline void expect_same(const Answers& got, const Answers& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (const auto& [id, answer] : want) {
    const std::string here = fmt::format("{}, request {}", what, id);
    expect_equal(got.at(id).tokens, answer.tokens, here);
    expect_equal(got.at(id).prompt, answer.prompt, here + ", prompt");
    EXPECT_EQ(got.at(id).end, answer.end) << here;
  }
}

inline EngineRequest greedy(uint64_t id, std::vector<int32_t> prompt, int32_t max_new_tokens) {
  EngineRequest y;
  y.id = id;
  y.prompt = std::move(prompt);
  y.sampling.temperature = 0;
  y.max_new_tokens = max_new_tokens;
  return y;
}

// Prompts of 1 to 200 tokens, three of which begin alike; greedy and drawn; some that stop.
inline std::vector<EngineRequest> mixed(const ModelConfig& config) {
  Rng rng(7);
  const std::vector<int64_t> lengths = {5, 1, 130, 200, 64, 65, 200, 150};
  const std::vector<int32_t> common = random_ids(rng, 128, config.vocab_size);
  std::vector<EngineRequest> requests;
  for (size_t i = 0; i < lengths.size(); i++) {
    EngineRequest& r = requests.emplace_back();
    r.id = 10 + i;
    r.prompt = random_ids(rng, lengths[i], config.vocab_size);
    if (lengths[i] > 128 && i != 2) std::copy(common.begin(), common.end(), r.prompt.begin());
    r.max_new_tokens = int32_t(3 + 17 * (i % 3));
    r.sampling.temperature = i % 2 ? 0.9 : 0;
    r.sampling.repetition_penalty = i == 4 ? 1.3 : 1;
    r.sampling.seed = 100 + i;
    r.sample = i % 3;
    r.rules.presence_penalty = i == 5 ? 0.7 : 0;
    r.rules.frequency_penalty = i == 5 ? 0.3 : 0;
    r.top_logprobs = int32_t(i % 4) - 1;
    if (i > 2) r.stop_ids = {3, 7, 11};
    r.prompt_logprobs = i == 2;
  }
  return requests;
}

// Each by itself, its prompt in one piece, a token a step.
inline Answers alone(Transformer& model, const std::vector<EngineRequest>& requests) {
  Answers answers;
  for (const EngineRequest& request : requests) {
    Engine engine(model, {.max_sequences = 1, .step_tokens = 1 << 20, .lookup_drafts = 0});
    answers.merge(run(engine, {request}));
  }
  return answers;
}

}  // namespace tenth::testing
