#include "eval/graded.h"

#include <cmath>

#include "problems/response.h"
#include "tokenizer/chat_format.h"

namespace tenth {

void check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config, const Path& folder) {
  require(tokenizer.vocab_size() <= config.vocab_size, ErrorKind::kInput,
          "{}: vocab_size: tokenizer.json has {} tokens, config.json only {}", folder.string(), tokenizer.vocab_size(),
          config.vocab_size);
}

int32_t stop_id(const Tokenizer& tokenizer) {
  const auto id = tokenizer.eos_id();
  require(id.has_value(), ErrorKind::kInput,
          "tokenizer_config.json: field eos_token: expected the token that ends an answer, it is missing");
  return *id;
}

std::vector<int32_t> stop_ids(const Tokenizer& tokenizer, const ModelConfig& config) {
  std::vector<int32_t> ids = {stop_id(tokenizer)};
  ids.insert(ids.end(), config.eos_token_ids.begin(), config.eos_token_ids.end());
  return ids;
}

std::vector<RunSample> first_samples(const GradedResult& graded, std::span<const Problem> problems, int64_t count) {
  std::vector<RunSample> samples;
  for (const GradedAnswer& answer : graded.answers) {
    if (int64_t(samples.size()) >= count) break;
    const Problem& problem = problems[answer.problem];
    samples.push_back({problem.question, answer.completion, problem.answer, answer.right});
  }
  return samples;
}

std::string completion_text(const Tokenizer& tokenizer, const Completion& completion) {
  std::span<const int32_t> ids = completion.ids;
  if (completion.stopped) ids = ids.first(ids.size() - 1);
  return tokenizer.decode(ids, false);
}

GradedResult evaluate(Transformer& model, const Tokenizer& tokenizer, const Task& task,
                      std::span<const Problem> problems, const GradedOptions& options) {
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < problems.size(); i++) {
    GenerationRequest request;
    request.prompt = encode_prompt(tokenizer, problems[i].question);
    request.sampling.temperature = options.temperature;
    request.sampling.seed = philox(options.seed, 0, i)[0];
    request.max_new_tokens = options.max_new_tokens;
    request.stop_ids = stop_ids(tokenizer, model.config());
    request.samples = options.samples;
    requests.push_back(std::move(request));
  }
  const std::vector<Completion> completions = Generator(model, {}).generate(requests);
  GradedResult result;
  Evaluation& e = result.evaluation;
  double sum = 0, sum_of_squares = 0;
  for (size_t i = 0; i < problems.size(); i++) {
    double right = 0;
    for (int32_t s = 0; s < options.samples; s++) {
      const Completion& completion = completions[i * size_t(options.samples) + size_t(s)];
      GradedAnswer answer{i,     completion_text(tokenizer, completion), false, completion.stopped,
                          false, int64_t(completion.ids.size())};
      answer.right = task.reward(problems[i], answer.completion, answer.finished).total == 1;
      answer.thinks = !parse_response(answer.completion).thinking.empty();
      right += answer.right / double(options.samples);
      e.mean_tokens += double(answer.tokens);
      e.thinking_share += answer.thinks;
      e.truncated_share += !answer.finished;
      result.answers.push_back(std::move(answer));
    }
    sum += right;
    sum_of_squares += right * right;
  }
  const double n = double(problems.size()), answers = double(result.answers.size());
  e.problems = int64_t(problems.size());
  e.samples = options.samples;
  e.temperature = options.temperature;
  if (problems.empty()) return result;
  e.accuracy = sum / n;
  e.standard_error = std::sqrt(std::max(0.0, sum_of_squares / n - e.accuracy * e.accuracy) / n);
  e.mean_tokens /= answers;
  e.thinking_share /= answers;
  e.truncated_share /= answers;
  return result;
}

}  // namespace tenth
