#include "rl/task_dataset.h"

#include "tokenizer/chat_format.h"

namespace tenth {

void TaskDataset::add_one(Examples& examples, Rng& rng) const {
  std::vector<int32_t> prompt, text;
  if (kind_ == Kind::kDemonstrations) {
    const Problem problem = task_.draw(rng);
    prompt = encode_prompt(tokenizer_, problem.question);
    text = encode_response(tokenizer_, task_.demonstration(problem, rng));
  } else {
    const Document document = task_.document(rng);
    if (!document.question.empty()) prompt = encode_prompt(tokenizer_, document.question);
    text = encode_response(tokenizer_, document.text);
  }
  const size_t unscored = kind_ == Kind::kDemonstrations ? prompt.size() : 0;
  prompt.insert(prompt.end(), text.begin(), text.end());
  examples.add(prompt, unscored);
}

Examples TaskDataset::batch(int64_t index) const {
  Rng rng(seed_, uint64_t(index));
  Examples examples;
  while (examples.tokens() < batch_tokens_) add_one(examples, rng);
  return examples;
}

}  // namespace tenth
