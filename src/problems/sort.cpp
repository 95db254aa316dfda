// Numbers to be put in order, "42,7,93,15>?", by taking the least of what is left, step by step:
// "42,7,93,15>7;42,93,15>15;42,93>42". The answer is "7,15,42,93".
#include <fmt/core.h>

#include <algorithm>

#include "problems/drawn_task.h"

namespace tenth {
namespace {

std::string listed(const std::vector<int64_t>& numbers) {
  std::string text;
  for (const int64_t number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

class SortTask : public StepTask {
 public:
  explicit SortTask(OptionReader& options)
      : StepTask(options, ';'),
        count_min_(options.integer("count_min", 4, 2, 32)),
        count_max_(options.integer("count_max", std::max(7, count_min_), count_min_, 32)) {}

  std::string name() const override { return "sort"; }

  Worked work(const Problem& problem, double p_slip, Rng& rng) const override {
    std::vector<int64_t> left = problem.numbers, sorted;
    Worked worked;
    while (left.size() > 1) {
      auto taken = std::min_element(left.begin(), left.end());
      if (rng.chance(p_slip)) {  // any of the others
        const size_t other = rng.below(left.size() - 1);
        taken = left.begin() + ptrdiff_t(other < size_t(taken - left.begin()) ? other : other + 1);
      }
      worked.steps.push_back(fmt::format("{}>{}", listed(left), *taken));
      sorted.push_back(*taken);
      left.erase(taken);
    }
    sorted.push_back(left.at(0));
    worked.answer = listed(sorted);
    return worked;
  }

 protected:
  std::string plain_question(const Problem& problem) const override {
    return problem.question.substr(0, problem.question.size() - 1);
  }

  // All different, 0 … 99.
  Problem draw_any(Rng& rng, bool) const override {
    const size_t count = size_t(rng.between(count_min_, count_max_));
    std::vector<int64_t> numbers;
    while (numbers.size() < count) {
      const int64_t number = rng.between(0, 99);
      if (std::find(numbers.begin(), numbers.end(), number) == numbers.end()) numbers.push_back(number);
    }
    std::vector<int64_t> sorted = numbers;
    std::sort(sorted.begin(), sorted.end());
    const std::string text = listed(numbers);
    return {.question = text + ">?", .answer = listed(sorted), .key = "sort" + text, .numbers = std::move(numbers)};
  }

 private:
  int count_min_, count_max_;
};

}  // namespace

std::unique_ptr<Task> make_sort_task(const TaskOptions& options) {
  OptionReader reader("sort", options);
  auto task = std::make_unique<SortTask>(reader);
  reader.finish();
  return task;
}

}  // namespace tenth
