// A model's answers to problems, graded by the task's verifier.
#pragma once
#include <span>
#include <vector>

#include "engine/generator.h"
#include "problems/problem.h"
#include "tokenizer/tokenizer.h"
#include "train/report.h"
#include "train/samples.h"

namespace tenth {

struct GradedOptions {
  int32_t samples = 1;  // answers to each problem
  double temperature = 0;
  int32_t max_new_tokens = 128;
  uint64_t seed = 0;
};

struct GradedAnswer {
  size_t problem;
  std::string completion;
  bool right, finished, thinks;
  int64_t tokens;
};

struct GradedResult {
  Evaluation evaluation;  // accuracy: mean over problems of the share of right answers (pass@1)
  std::vector<GradedAnswer> answers;
};

GradedResult evaluate(Transformer& model, const Tokenizer& tokenizer, const Task& task,
                      std::span<const Problem> problems, const GradedOptions& options);

// The first answers for samples.jsonl: of the same problems at every evaluation, so that one sees them change.
std::vector<RunSample> first_samples(const GradedResult& graded, std::span<const Problem> problems, int64_t count);

// Throws kInput where the tokenizer of a model folder makes ids that the model has not.
void check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config, const Path& folder);
// The end token of a chat: generation stops there. Throws kInput where the tokenizer names none.
int32_t stop_id(const Tokenizer& tokenizer);
// That one, and every other end token that the model's config names.
std::vector<int32_t> stop_ids(const Tokenizer& tokenizer, const ModelConfig& config);
// The text of a completion, without its end token.
std::string completion_text(const Tokenizer& tokenizer, const Completion& completion);

}  // namespace tenth
