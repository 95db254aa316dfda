// Sums of several small terms, "3+5+4+6-1=?", with running totals as the thinking: "3+5=8,8+4=12,12+6=18,18-1=17". The
// task and teacher of shared/peers/rlpilot (Recipe 1). The right strategy is one step at a time; a model that blurts
// cannot hold the sum, so reinforcement shows as thinking.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "problems/drawn_task.h"

namespace tenth {
namespace {

constexpr int kLargestNumber = 99;  // has a word of its own
constexpr int kTries = 10'000;

class ChainTask : public StepTask {
 public:
  explicit ChainTask(OptionReader& options)
      : StepTask(options, ','),
        terms_min_(options.integer("terms_min", 4, 2, 64)),
        terms_max_(options.integer("terms_max", std::max(7, terms_min_), terms_min_, 64)),
        max_value_(options.integer("max_value", 50, 9, kLargestNumber)),
        pretrain_terms_min_(options.integer("pretrain_terms_min", terms_min_, 2, 64)),
        pretrain_terms_max_(
            options.integer("pretrain_terms_max", std::max(terms_max_, pretrain_terms_min_), pretrain_terms_min_, 64)),
        pretrain_tilt_(options.real("pretrain_tilt", 1, 0.1, 10)) {}

  std::string name() const override { return "chain"; }

  // numbers: the terms with their signs.
  Worked work(const Problem& problem, double p_slip, Rng& rng) const override {
    const std::vector<int64_t>& terms = problem.numbers;
    Worked worked;
    int64_t total = terms.at(0);
    for (size_t i = 1; i < terms.size(); i++) {
      int64_t next = total + terms[i];
      if (rng.chance(p_slip)) next = slipped(next, terms, i, rng);
      worked.steps.push_back(fmt::format("{}{:+}={}", total, terms[i], next));
      total = next;
    }
    worked.answer = std::to_string(total);
    return worked;
  }

 protected:
  std::string plain_question(const Problem& problem) const override {
    return problem.question.substr(0, problem.question.size() - 2);
  }

  Problem draw_any(Rng& rng, bool pretraining) const override {
    const int count = pretraining ? pretraining_terms(rng) : int(rng.between(terms_min_, terms_max_));
    for (int i = 0; i < kTries; i++) {
      std::vector<int64_t> terms = draw_terms(count, rng);
      if (!terms.empty()) return problem_of(std::move(terms));
    }
    fail(ErrorKind::kInput, "[chain] found no sum of {} terms with totals up to {}: lower terms_max or raise max_value",
         count, max_value_);
  }

 private:
  // The number of terms n with probability in proportion to tilt^n.
  int pretraining_terms(Rng& rng) const {
    double sum = 0;
    for (int n = pretrain_terms_min_; n <= pretrain_terms_max_; n++)
      sum += std::pow(pretrain_tilt_, n - pretrain_terms_min_);
    double left = rng.uniform() * sum;
    for (int n = pretrain_terms_min_; n < pretrain_terms_max_; n++) {
      left -= std::pow(pretrain_tilt_, n - pretrain_terms_min_);
      if (left < 0) return n;
    }
    return pretrain_terms_max_;
  }

  // Minus with probability 0.4 where the total stays >= 0, else plus. Empty where a total passes max_value. (The pilot
  // bounds the last total only; bounding all keeps every number a word.)
  std::vector<int64_t> draw_terms(int count, Rng& rng) const {
    std::vector<int64_t> terms = {rng.between(1, 9)};
    int64_t total = terms[0];
    while (int(terms.size()) < count) {
      const int64_t term = rng.between(1, 9);
      terms.push_back(rng.chance(0.4) && total >= term ? -term : term);
      total += terms.back();
      if (total > max_value_) return {};
    }
    return terms;
  }

  static Problem problem_of(std::vector<int64_t> terms) {
    std::string text = std::to_string(terms[0]);
    int64_t total = terms[0];
    for (size_t i = 1; i < terms.size(); i++) {
      text += fmt::format("{:+}", terms[i]);
      total += terms[i];
    }
    return {.question = text + "=?", .answer = std::to_string(total), .key = "ch" + text, .numbers = std::move(terms)};
  }

  // next, off by one or by ten, such that this and every later total has a word (0 … 99); next itself if none fits.
  static int64_t slipped(int64_t next, const std::vector<int64_t>& terms, size_t step, Rng& rng) {
    int64_t lowest = 0, highest = 0, change = 0;
    for (size_t i = step + 1; i < terms.size(); i++) {
      change += terms[i];
      lowest = std::min(lowest, change);
      highest = std::max(highest, change);
    }
    std::vector<int64_t> choices;
    for (const int64_t slip : {-10, -1, 1, 10})
      if (next + slip + lowest >= 0 && next + slip + highest <= kLargestNumber) choices.push_back(next + slip);
    return choices.empty() ? next : pick(choices, rng);
  }

  int terms_min_, terms_max_, max_value_, pretrain_terms_min_, pretrain_terms_max_;
  double pretrain_tilt_;
};

}  // namespace

std::unique_ptr<Task> make_chain_task(const TaskOptions& options) {
  OptionReader reader("chain", options);
  auto task = std::make_unique<ChainTask>(reader);
  reader.finish();
  return task;
}

}  // namespace tenth
