#include "problems/drawn_task.h"

#include <unordered_set>

#include "base/error.h"
#include "problems/response.h"

namespace tenth {
namespace {

constexpr int kEquations = 6;          // loose steps in one document
constexpr uint64_t kHeldOutSeed = 99;  // fixed: every run of every seed is graded on the same problems
constexpr int kTries = 10'000;         // of one training draw; one key in eight is held out

}  // namespace

Problem DrawnTask::draw_training(Rng& rng, bool pretraining) const {
  for (int i = 0; i < kTries; i++) {
    Problem problem = draw_any(rng, pretraining);
    if (!is_held_out(problem.key)) return problem;
  }
  fail(ErrorKind::kInput, "[{}] the options leave no training problems: widen the ranges", name());
}

std::vector<Problem> DrawnTask::held_out(int count) const {
  std::vector<Problem> problems;
  std::unordered_set<std::string> seen;
  Rng rng(kHeldOutSeed);
  // Ends at the first long run of draws without a new one: a small task has no more.
  for (int idle = 0; int(problems.size()) < count && idle < kTries; idle++) {
    Problem problem = draw_any(rng, false);
    if (!is_held_out(problem.key) || !seen.insert(problem.key).second) continue;
    problems.push_back(std::move(problem));
    idle = 0;
  }
  return problems;
}

StepTask::StepTask(OptionReader& options, char separator)
    : p_direct_(options.share("p_direct", 0.6)),
      p_slip_(options.share("p_slip", 0.05)),
      p_equations_(options.share("p_equations", 0.5)),
      p_chat_(options.share("p_chat", 0.25)),
      separator_(separator) {}

std::string StepTask::joined(const std::vector<std::string>& steps, char separator) const {
  std::string text;
  for (const std::string& step : steps) {
    if (!text.empty()) text += separator;
    text += step;
  }
  return text;
}

std::string StepTask::demonstration(const Problem& problem, Rng& rng) const {
  if (rng.chance(p_direct_)) return format_response("", problem.answer);
  const Worked worked = work(problem, p_slip_, rng);
  return format_response(joined(worked.steps, separator_), worked.answer);
}

Document StepTask::document(Rng& rng) const {
  if (rng.chance(p_equations_)) {
    std::vector<std::string> loose;
    for (int i = 0; i < kEquations; i++) loose.push_back(pick(work(draw_training(rng, true), 0, rng).steps, rng));
    return {.question = "", .text = joined(loose, ';')};
  }
  const Problem problem = draw_training(rng, true);
  if (rng.chance(p_chat_)) return {.question = problem.question, .text = demonstration(problem, rng)};
  return {.question = "", .text = plain_question(problem) + ":" + joined(work(problem, 0, rng).steps, separator_)};
}

}  // namespace tenth
