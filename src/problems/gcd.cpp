// The greatest common divisor of two numbers, "(84,36)=?", with Euclid's division steps as the thinking:
// "84-36*2=12,36-12*3=0". The last remainder that is not 0 is the answer.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "problems/drawn_task.h"

namespace tenth {
namespace {

class GcdTask : public StepTask {
 public:
  explicit GcdTask(OptionReader& options) : StepTask(options, ','), hi_(options.integer("hi", 99, 20, 99)) {}

  std::string name() const override { return "gcd"; }

  Worked work(const Problem& problem, double p_slip, Rng& rng) const override {
    int64_t a = problem.numbers.at(0), b = problem.numbers.at(1);
    Worked worked;
    while (b != 0) {
      int64_t rest = a % b;
      // A slip stays below b, so that the steps end all the same.
      if (rng.chance(p_slip) && b > 1) rest = rest == 0 || (rest + 1 < b && rng.chance(0.5)) ? rest + 1 : rest - 1;
      worked.steps.push_back(fmt::format("{}-{}*{}={}", a, b, a / b, rest));
      a = b;
      b = rest;
    }
    worked.answer = std::to_string(a);
    return worked;
  }

 protected:
  std::string plain_question(const Problem& problem) const override {
    return problem.question.substr(0, problem.question.size() - 2);
  }

  // Two different multiples of a common number: of two numbers drawn alone, three pairs in five have divisor 1, and
  // "1" without thinking would earn too much.
  Problem draw_any(Rng& rng, bool) const override {
    const int64_t common = rng.between(1, hi_ / 5);
    const int64_t a = rng.between(2, hi_ / common);
    int64_t b = rng.between(2, hi_ / common - 1);
    if (b >= a) b++;
    const int64_t high = std::max(a, b) * common, low = std::min(a, b) * common;
    const std::string pair = fmt::format("({},{})", high, low);
    return {.question = pair + "=?",
            .answer = std::to_string(std::gcd(high, low)),
            .key = "gcd" + pair,
            .numbers = {high, low}};
  }

 private:
  int hi_;
};

}  // namespace

std::unique_ptr<Task> make_gcd_task(const TaskOptions& options) {
  OptionReader reader("gcd", options);
  auto task = std::make_unique<GcdTask>(reader);
  reader.finish();
  return task;
}

}  // namespace tenth
