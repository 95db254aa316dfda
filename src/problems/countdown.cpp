// Countdown: reach a target from three numbers, "5 7 8>27". The thinking is a search: attempts "7*5=35,35-8=27?27✓"
// that restate the target before the verdict ✓ or ✗; the answer is an expression, "(7*5)-8". The task and teachers of
// shared/peers/rlpilot (Recipe 2): a sloppy one tries at random and gives up early, a careful one takes each first step
// once. Which to follow, and not to give up, is what reinforcement finds. Unlike the pilot's, the careful one goes
// through the first steps in a fixed order: the next follows from the last, where a random order asks a small model for
// a set difference, and it writes the same attempt again and again (docs/log.md).
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "problems/drawn_task.h"
#include "problems/response.h"

namespace tenth {
namespace {

constexpr int kLooseSteps = 6;

// v = x op1 y, then w = v op2 z; reversed: w = z - v.
struct Attempt {
  int x, y, v, z, w;
  char op1, op2;
  bool reversed;
  bool operator==(const Attempt&) const = default;

  std::string first_step() const { return fmt::format("{}{}{}={}", x, op1, y, v); }
  std::string second_step() const {
    return reversed ? fmt::format("{}-{}={}", z, v, w) : fmt::format("{}{}{}={}", v, op2, z, w);
  }
  std::string expression() const {
    return reversed ? fmt::format("{}-({}{}{})", z, x, op1, y) : fmt::format("({}{}{}){}{}", x, op1, y, op2, z);
  }
  std::string text(int target) const {
    return fmt::format("{},{}?{}{}", first_step(), second_step(), target, w == target ? "✓" : "✗");
  }
};

int apply(int a, char op, int b) { return op == '+' ? a + b : op == '-' ? a - b : a * b; }

using Numbers = std::array<int, 3>;

// Every way to combine the three numbers, all values within 1 … value_max, in a fixed order, each text once.
std::vector<Attempt> attempts(const Numbers& numbers, int value_max) {
  constexpr int kOrders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  std::vector<Attempt> all;
  const auto add = [&](const Attempt& attempt) {
    if (attempt.w < 1 || attempt.w > value_max) return;
    if (std::find(all.begin(), all.end(), attempt) == all.end()) all.push_back(attempt);
  };
  for (const auto& order : kOrders) {
    const int x = numbers[order[0]], y = numbers[order[1]], z = numbers[order[2]];
    for (const char op1 : {'+', '-', '*'}) {
      const int v = apply(x, op1, y);
      if (v < 1 || v > value_max) continue;
      for (const char op2 : {'+', '-', '*'}) add({x, y, v, z, apply(v, op2, z), op1, op2, false});
      add({x, y, v, z, z - v, op1, '-', true});
    }
  }
  return all;
}

class CountdownTask : public DrawnTask {
 public:
  explicit CountdownTask(OptionReader& options)
      : lo_(options.integer("lo", 1, 1, 50)),
        hi_(options.integer("hi", std::max(9, lo_), lo_, 50)),
        target_min_(options.integer("target_min", 10, 1, 99)),
        value_max_(options.integer("value_max", std::max(50, target_min_), target_min_, 99)),
        max_attempts_(options.integer("max_attempts", 6, 1, 64)),
        p_quit_(options.share("p_quit", 0.4)),
        p_smart_(options.share("p_smart", 0.15)),
        p_careful_(options.share("p_careful", 0.25)),
        p_slip_(options.share("p_slip", 0.1)),
        pretrain_careful_(options.share("pretrain_careful", p_careful_)),
        p_equations_(options.share("p_equations", 0.4)),
        p_chat_(options.share("p_chat", 0.25)) {
    for (int a = lo_; a <= hi_; a++)
      for (int b = a; b <= hi_; b++)
        for (int c = b; c <= hi_; c++) add_items({a, b, c});
    require(!items_.empty(), ErrorKind::kInput,
            "[countdown] lo {}, hi {}, target_min {} and value_max {} leave no problem", lo_, hi_, target_min_,
            value_max_);
  }

  std::string name() const override { return "countdown"; }

  std::string demonstration(const Problem& problem, Rng& rng) const override {
    const Search found = search(problem, p_careful_, rng);
    return format_response(found.text, found.answer);
  }

  Document document(Rng& rng) const override {
    if (rng.chance(p_equations_)) return {.question = "", .text = loose_equations(rng)};
    const Problem problem = draw_training(rng, true);
    if (rng.chance(p_chat_)) return {.question = problem.question, .text = demonstration(problem, rng)};
    return {.question = "", .text = problem.question + ":" + search(problem, pretrain_careful_, rng).text};
  }

 protected:
  Problem draw_any(Rng& rng, bool) const override {
    const Item& item = pick(items_, rng);
    const auto& n = item.numbers;
    std::vector<int64_t> shown(n.begin(), n.end());
    shuffle(shown, rng);
    Problem problem{.question = fmt::format("{} {} {}>{}", shown[0], shown[1], shown[2], item.target),
                    .answer = {},
                    .key = fmt::format("cd({}, {}, {}){}", n[0], n[1], n[2], item.target),
                    .numbers = std::move(shown),
                    .target = item.target,
                    .compare = Compare::kExpression};
    for (const Attempt& attempt : attempts(n, value_max_)) {
      if (attempt.w != item.target) continue;
      problem.answer = attempt.expression();
      break;
    }
    return problem;
  }

 private:
  struct Item {
    Numbers numbers;
    int target;
  };
  struct Search {
    std::string text;    // the attempts
    std::string answer;  // the last one's expression
  };

  void add_items(const Numbers& numbers) {
    std::set<int> targets;
    for (const Attempt& attempt : attempts(numbers, value_max_)) targets.insert(attempt.w);
    for (const int target : targets) {
      if (target < target_min_ || std::find(numbers.begin(), numbers.end(), target) != numbers.end()) continue;
      items_.push_back({numbers, target});
    }
  }

  static Numbers shown_numbers(const Problem& problem) {
    require(problem.numbers.size() == 3, ErrorKind::kInternal, "[countdown] expected a problem of 3 numbers, got {}",
            problem.numbers.size());
    Numbers numbers;
    std::copy(problem.numbers.begin(), problem.numbers.end(), numbers.begin());
    return numbers;
  }

  Search search(const Problem& problem, double careful_share, Rng& rng) const {
    const std::vector<Attempt> all = attempts(shown_numbers(problem), value_max_);
    require(!all.empty(), ErrorKind::kInternal, "[countdown] no attempt stays within 1 to {}: {}", value_max_,
            problem.question);
    return rng.chance(careful_share) ? careful(all, int(problem.target), rng) : sloppy(all, int(problem.target), rng);
  }

  // Random attempts, a share p_smart of them right, until one hits, patience ends (p_quit) or max_attempts is reached.
  Search sloppy(const std::vector<Attempt>& all, int target, Rng& rng) const {
    std::vector<Attempt> right;
    for (const Attempt& attempt : all)
      if (attempt.w == target) right.push_back(attempt);
    Search found;
    for (int count = 1;; count++) {
      const Attempt& attempt = !right.empty() && rng.chance(p_smart_) ? pick(right, rng) : pick(all, rng);
      found = {found.text + attempt.text(target), attempt.expression()};
      if (attempt.w == target || count >= max_attempts_ || rng.chance(p_quit_)) return found;
    }
  }

  // Each first step at most once, in the order of attempts(), with the second step that comes nearest or, in a share
  // p_slip of them, any; ends at a hit or, after slips, with the last attempt: a model that slips has to see an end.
  Search careful(const std::vector<Attempt>& all, int target, Rng& rng) const {
    using Step = std::tuple<char, int, int>;  // x+y and y+x are one step, so are x*y and y*x
    std::vector<std::pair<Step, std::vector<Attempt>>> by_first;
    for (const Attempt& a : all) {
      const bool ordered = a.op1 == '-';
      const Step step{a.op1, ordered ? a.x : std::min(a.x, a.y), ordered ? a.y : std::max(a.x, a.y)};
      auto entry = std::find_if(by_first.begin(), by_first.end(), [&](const auto& e) { return e.first == step; });
      if (entry == by_first.end()) entry = by_first.insert(entry, {step, {}});
      entry->second.push_back(a);
    }
    Search found;
    for (const auto& [step, choices] : by_first) {
      int best = std::abs(choices[0].w - target);
      for (const Attempt& a : choices) best = std::min(best, std::abs(a.w - target));
      std::vector<Attempt> nearest;
      for (const Attempt& a : choices)
        if (std::abs(a.w - target) == best) nearest.push_back(a);
      const Attempt& attempt = pick(rng.chance(p_slip_) ? choices : nearest, rng);
      found = {found.text + attempt.text(target), attempt.expression()};
      if (attempt.w == target) break;
    }
    return found;
  }

  std::string loose_equations(Rng& rng) const {
    std::string text;
    for (int i = 0; i < kLooseSteps; i++) {
      const Attempt attempt = pick(attempts(shown_numbers(draw_training(rng, true)), value_max_), rng);
      if (i > 0) text += ';';
      if (rng.chance(0.3))
        text += fmt::format("{}={}", attempt.expression(), attempt.w);
      else
        text += rng.chance(0.5) ? attempt.first_step() : attempt.second_step();
    }
    return text;
  }

  int lo_, hi_, target_min_, value_max_, max_attempts_;
  double p_quit_, p_smart_, p_careful_, p_slip_, pretrain_careful_, p_equations_, p_chat_;
  std::vector<Item> items_;
};

}  // namespace

std::unique_ptr<Task> make_countdown_task(const TaskOptions& options) {
  OptionReader reader("countdown", options);
  auto task = std::make_unique<CountdownTask>(reader);
  reader.finish();
  return task;
}

}  // namespace tenth
