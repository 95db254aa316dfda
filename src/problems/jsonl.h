// Problems from a file, one JSON object a line: {"question": text, "answer": text or number}. Also read, where present:
// "task" (shared/data/reasoning: chooses how answers are compared, as its README lists) and "metadata" {"numbers",
// "target"} (countdown). A GSM8K answer ("… #### 72") or a MATH one ("… \boxed{x}") is a worked solution: the answer is
// taken out of it, the rest shown as thinking.
#pragma once
#include <vector>

#include "problems/problem.h"

namespace tenth {

class JsonlTask : public Task {
 public:
  // Options: thinking (1: prompts end with <think>, so a response without </think> has no answer; 0: they do not);
  // exact (0: a right answer that is a number is compared as a number; 1: all answers as text).
  // Throws kIo, or kInput naming file, line, field, expected and got.
  JsonlTask(const Path& file, const TaskOptions& options);

  // Every problem, in the order of the file.
  const std::vector<Problem>& problems() const { return problems_; }

  std::string name() const override { return "jsonl"; }
  Problem draw(Rng& rng) const override;
  std::vector<Problem> held_out(int count) const override;
  // The worked solution as thinking where the file has one, else none; the right answer.
  std::string demonstration(const Problem& problem, Rng& rng) const override;
  Document document(Rng& rng) const override;
  std::vector<std::string> vocabulary() const override { return {}; }
  // Lenient (find_answer): the answer in tags, a box or behind ####, the last one if there are several.
  Reward reward(const Problem& problem, std::string_view response, bool finished = true) const override;

 private:
  std::string file_;
  std::vector<Problem> problems_;
  std::vector<size_t> training_;  // those not held out
  bool thinking_, exact_;
};

}  // namespace tenth
