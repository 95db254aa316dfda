// A task's texts as batches of tokens for the supervised stages.
#pragma once
#include "problems/problem.h"
#include "tokenizer/tokenizer.h"
#include "train/dataset.h"

namespace tenth {

// Documents for pretraining, all tokens scored; or demonstrations for SFT, the responses scored. A batch is filled up
// to batch_tokens with whole sequences, drawn by (seed, batch).
class TaskDataset : public Dataset {
 public:
  enum class Kind { kDocuments, kDemonstrations };
  TaskDataset(const Task& task, const Tokenizer& tokenizer, Kind kind, uint64_t seed, int64_t batch_tokens)
      : task_(task), tokenizer_(tokenizer), kind_(kind), seed_(seed), batch_tokens_(batch_tokens) {}
  Examples batch(int64_t index) const override;

 private:
  void add_one(Examples& examples, Rng& rng) const;

  const Task& task_;
  const Tokenizer& tokenizer_;
  Kind kind_;
  uint64_t seed_;
  int64_t batch_tokens_;
};

}  // namespace tenth
