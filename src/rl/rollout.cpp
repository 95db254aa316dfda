#include "rl/rollout.h"

#include "eval/graded.h"
#include "problems/response.h"
#include "tokenizer/chat_format.h"

namespace tenth {
namespace {

constexpr uint64_t kProblemStream = uint64_t(1) << 40;  // apart from the streams of the supervised stages' batches

struct Round {
  std::vector<Problem> problems;
  std::vector<GenerationRequest> requests;
};

Round make_round(const Tokenizer& tokenizer, const std::vector<int32_t>& ends, const Task& task, const RlSettings& s,
                 int64_t count, Rng& rng) {
  Round round;
  for (int64_t p = 0; p < count; p++) {
    round.problems.push_back(task.draw(rng));
    GenerationRequest request;
    request.prompt = encode_prompt(tokenizer, round.problems.back().question);
    request.sampling.temperature = s.temperature;
    request.sampling.seed = rng.next_u64();
    request.max_new_tokens = s.max_new_tokens;
    request.stop_ids = ends;
    request.samples = int32_t(s.samples);
    round.requests.push_back(std::move(request));
  }
  return round;
}

void grade(const Round& round, std::vector<Completion> completions, const Tokenizer& tokenizer, const Task& task,
           const RlSettings& s, Rollout& out) {
  std::vector<RolloutRow> rows;
  std::vector<double> rewards;
  for (size_t i = 0; i < completions.size(); i++) {
    const size_t p = i / size_t(s.samples);
    const std::string text = completion_text(tokenizer, completions[i]);
    RolloutRow row;
    row.prompt = round.requests[p].prompt;
    row.reward = task.reward(round.problems[p], text, completions[i].stopped).total;
    row.thinks = !parse_response(text).thinking.empty();
    row.completion = std::move(completions[i]);
    rewards.push_back(row.reward);
    out.reward += row.reward;
    out.length += double(row.completion.ids.size());
    out.truncated += !row.completion.stopped;
    out.thinking += row.thinks;
    out.new_tokens += int64_t(row.completion.ids.size());
    rows.push_back(std::move(row));
  }
  const Advantages advantages = group_advantages(rewards, int(s.samples), s.loss.advantage);
  for (size_t i = 0; i < rows.size(); i++) {
    if (advantages.zero_variance[i / size_t(s.samples)]) continue;
    rows[i].advantage = advantages.values[i];
    out.rows.push_back(std::move(rows[i]));
  }
  out.sampled += int64_t(rows.size());
  out.groups += int64_t(advantages.zero_variance.size());
  for (bool equal : advantages.zero_variance) out.zero_variance_groups += equal;
}

}  // namespace

Rollout roll_out(Generator& generator, const Tokenizer& tokenizer, const Task& task, const RlSettings& s,
                 int64_t step) {
  constexpr int kMostRounds = 4;  // of dynamic sampling
  Rng rng(s.seed, kProblemStream + uint64_t(step));
  const std::vector<int32_t> ends = stop_ids(tokenizer, generator.config());
  Rollout out;
  for (int round = 0; round < (s.dynamic_sampling ? kMostRounds : 1); round++) {
    const int64_t missing = s.prompts - int64_t(out.rows.size()) / s.samples;
    if (missing <= 0) break;
    const Round problems = make_round(tokenizer, ends, task, s, missing, rng);
    grade(problems, generator.generate(problems.requests), tokenizer, task, s, out);
  }
  for (double* mean : {&out.reward, &out.length, &out.truncated, &out.thinking}) *mean /= double(out.sampled);
  return out;
}

}  // namespace tenth
