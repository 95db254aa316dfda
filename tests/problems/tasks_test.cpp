// The tasks that make up their problems: properties over many seeds, and the pilot's numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "problems/answer.h"
#include "problems/expression.h"
#include "problems/problem.h"
#include "problems/response.h"

namespace tenth {
namespace {

const std::vector<std::string> kDrawn = {"chain", "countdown", "gcd", "sort"};

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t at = 0;
  for (size_t next; (next = text.find(separator, at)) != std::string::npos; at = next + separator.size())
    parts.push_back(text.substr(at, next - at));
  parts.push_back(text.substr(at));
  return parts;
}

// "3+5=8": both sides have the same value.
bool true_equation(const std::string& text) {
  const auto sides = split(text, "=");
  if (sides.size() != 2) return false;
  const Expression left = evaluate(sides[0]), right = evaluate(sides[1]);
  return left.ok() && right.ok() && left.value == right.value;
}

// "42,7,15>7": the number behind > is the least in front of it.
bool true_choice(const std::string& text) {
  const auto sides = split(text, ">");
  if (sides.size() != 2) return false;
  int least = 1000;
  for (const std::string& number : split(sides[0], ",")) least = std::min(least, std::stoi(number));
  return std::to_string(least) == sides[1];
}

// Words of number_words(), the longest first, as a tokenizer of such words reads them.
bool spelled_in_words(std::string text) {
  while (!text.empty()) {
    size_t best = 0;
    static const std::vector<std::string> kWords = number_words();
    for (const std::string& word : kWords)
      if (text.starts_with(word)) best = std::max(best, word.size());
    if (best == 0) return false;
    text.erase(0, best);
  }
  return true;
}

// No number in the text is above 99, so that each is one word.
bool small_numbers(const std::string& text) {
  int digits = 0;
  for (const char c : text) {
    digits = c >= '0' && c <= '9' ? digits + 1 : 0;
    if (digits > 2) return false;
  }
  return true;
}

TEST(Tasks, DemonstrationsHaveTheRightForm) {
  for (const std::string& name : kDrawn) {
    const auto task = make_task(name);
    EXPECT_EQ(task->name(), name);
    Rng rng(1);
    int right = 0, thinking = 0;
    constexpr int kCount = 1000;
    for (int i = 0; i < kCount; i++) {
      const Problem problem = task->draw(rng);
      const std::string shown = task->demonstration(problem, rng);
      const Reward reward = task->reward(problem, shown);
      ASSERT_EQ(reward.format, 1) << problem.question << shown;
      ASSERT_EQ(reward.total, reward.accuracy);
      const Response parsed = parse_response(shown);
      right += reward.total == 1;
      thinking += !parsed.thinking.empty();
      for (const std::string& text : {problem.question, std::string(parsed.thinking), std::string(parsed.answer)})
        ASSERT_TRUE(spelled_in_words(text) && small_numbers(text)) << name << ": " << text;
      EXPECT_EQ(task->reward(problem, shown, false).total, 0) << "a truncated answer earned a reward";
    }
    EXPECT_GT(right, kCount / 4) << name;  // poor, not hopeless
    EXPECT_LT(right, kCount) << name;
    EXPECT_GT(thinking, kCount / 4) << name;
  }
}

TEST(Tasks, PlainDocumentsAreTrue) {
  for (const std::string& name : kDrawn) {
    const auto task = make_task(name);
    Rng rng(2);
    int plain = 0, problems = 0, chats = 0;
    for (int i = 0; i < 1000; i++) {
      const Document document = task->document(rng);
      if (!document.question.empty()) {
        chats++;
        EXPECT_TRUE(parse_response(document.text).well_formed);
        continue;
      }
      ASSERT_TRUE(spelled_in_words(document.text) && small_numbers(document.text)) << document.text;
      const bool with_question = document.text.find(':') != std::string::npos;
      (with_question ? problems : plain)++;
      if (name == "countdown" && with_question) continue;  // searches: below
      const std::string steps = with_question ? split(document.text, ":")[1] : document.text;
      const bool sort = name == "sort";
      for (const std::string& step : split(steps, sort || !with_question ? ";" : ","))
        ASSERT_TRUE(sort ? true_choice(step) : true_equation(step)) << name << ": " << document.text;
    }
    EXPECT_NEAR(plain, name == "countdown" ? 400 : 500, 70) << name;
    EXPECT_NEAR(chats, name == "countdown" ? 150 : 125, 50) << name;
  }
}

TEST(Tasks, HeldOutProblemsAreNeverDrawn) {
  for (const std::string& name : kDrawn) {
    const auto task = make_task(name);
    const std::vector<Problem> held = task->held_out(500);
    EXPECT_GE(held.size(), name == "countdown" ? 143u : 400u) << name;
    std::set<std::string> keys, questions;
    for (const Problem& problem : held) {
      EXPECT_TRUE(is_held_out(problem.key));
      keys.insert(problem.key);
      questions.insert(problem.question);
      EXPECT_EQ(task->reward(problem, format_response("", problem.answer)).total, 1) << problem.question;
    }
    EXPECT_EQ(keys.size(), held.size());
    Rng rng(3);
    for (int i = 0; i < 3000; i++) {
      const Problem problem = task->draw(rng);
      EXPECT_FALSE(keys.count(problem.key));
      EXPECT_FALSE(questions.count(problem.question));
      const Document document = task->document(rng);
      EXPECT_FALSE(questions.count(document.question));
    }
    const std::vector<Problem> fewer = task->held_out(20);
    ASSERT_EQ(fewer.size(), 20u);
    for (size_t i = 0; i < fewer.size(); i++) EXPECT_EQ(fewer[i].question, held[i].question);
  }
}

TEST(Tasks, PureFunctionsOfTheRng) {
  for (const std::string& name : kDrawn) {
    const auto one = make_task(name), other = make_task(name);
    Rng a(5, 9), b(5, 9);
    for (int i = 0; i < 50; i++) {
      const Problem first = one->draw(a), second = other->draw(b);
      EXPECT_EQ(first.question, second.question);
      EXPECT_EQ(one->demonstration(first, a), other->demonstration(second, b));
      EXPECT_EQ(one->document(a).text, other->document(b).text);
    }
    EXPECT_EQ(a.position(), b.position());
  }
}

TEST(Tasks, MutatedAnswersAreRefused) {
  for (const std::string& name : kDrawn) {
    const auto task = make_task(name);
    Rng rng(6);
    for (int i = 0; i < 500; i++) {
      const Problem problem = task->draw(rng);
      const std::string good = format_response("", problem.answer);
      ASSERT_EQ(task->reward(problem, good).total, 1) << problem.question << " " << good;
      for (const std::string& bad : {problem.answer + "0", "1" + problem.answer, problem.answer + " 1", std::string()})
        EXPECT_EQ(task->reward(problem, format_response("", bad)).total, 0) << problem.question << " " << bad;
      // A digit changed: right only where the expression happens to mean the same.
      std::string changed = problem.answer;
      char& digit = changed[changed.find_first_of("0123456789")];
      digit = digit == '9' ? '1' : char(digit + 1);
      EXPECT_EQ(task->reward(problem, format_response("", changed)).total, 0) << problem.question << " " << changed;
      // The format: each of these holds the right answer, none earns the reward.
      const std::string tagged = "<answer>" + problem.answer + "</answer>";
      for (const std::string& bad : {tagged, tagged + "</think>", "</think>" + problem.answer, good + tagged,
                                     good + "1", "</think>" + good, tagged + good, "</think><answer>" + problem.answer})
        EXPECT_EQ(task->reward(problem, bad).total, 0) << bad;
    }
  }
}

TEST(Tasks, HostileCompletionsEarnNothing) {
  for (const std::string& name : kDrawn) {
    const auto task = make_task(name);
    Rng rng(7);
    const Problem problem = task->draw(rng);
    for (const char c : {'(', ')', '1', '-', '<', ' ', '\0', '\xff'}) {
      const std::string junk(1 << 20, c);
      EXPECT_EQ(task->reward(problem, junk).total, 0);
      if (c != ' ') {
        EXPECT_EQ(task->reward(problem, format_response("", junk)).total, 0);
      }
    }
  }
}

TEST(Chain, CleanStepsAreRunningTotals) {
  const auto task =
      make_task("chain", {{"terms_min", 4}, {"terms_max", 10}, {"p_direct", 0}, {"p_slip", 0}, {"p_equations", 0}});
  Rng rng(8);
  std::set<size_t> counts;
  for (int i = 0; i < 2000; i++) {
    const Problem problem = task->draw(rng);
    ASSERT_TRUE(problem.question.ends_with("=?"));
    const Expression sum = evaluate(problem.question.substr(0, problem.question.size() - 2));
    ASSERT_TRUE(sum.ok());
    EXPECT_EQ(std::to_string(sum.value.num), problem.answer);
    EXPECT_TRUE(sum.value.num >= 0 && sum.value.num <= 50);
    counts.insert(sum.numbers.size());
    for (const int64_t term : sum.numbers) EXPECT_TRUE(term >= 1 && term <= 9);
    const std::string shown = task->demonstration(problem, rng);
    EXPECT_EQ(task->reward(problem, shown).total, 1);
    const auto steps = split(std::string(parse_response(shown).thinking), ",");
    EXPECT_EQ(steps.size(), sum.numbers.size() - 1);
    for (const std::string& step : steps) EXPECT_TRUE(true_equation(step)) << shown;
  }
  EXPECT_EQ(counts, (std::set<size_t>{4, 5, 6, 7, 8, 9, 10}));
}

// The teacher's two ways, by their probabilities (shared/peers/rlpilot/README.md, Recipe 1).
TEST(Chain, TheTeacherIsAsPoorAsAsked) {
  const auto task = make_task("chain", {{"p_direct", 0.6}, {"p_slip", 0.05}});
  Rng rng(9);
  int direct = 0, steps = 0, wrong = 0;
  constexpr int kCount = 6000;
  for (int i = 0; i < kCount; i++) {
    const Problem problem = task->draw(rng);
    const std::string shown = task->demonstration(problem, rng);
    const Response parsed = parse_response(shown);
    if (parsed.thinking.empty()) {
      direct++;
      EXPECT_EQ(task->reward(problem, shown).total, 1);
      continue;
    }
    for (const std::string& step : split(std::string(parsed.thinking), ",")) {
      steps++;
      wrong += !true_equation(step);
    }
  }
  EXPECT_NEAR(double(direct) / kCount, 0.6, 0.03);
  EXPECT_NEAR(double(wrong) / steps, 0.05, 0.01);
}

TEST(Chain, PretrainingRangeAndWeight) {
  const TaskOptions options = {
      {"terms_min", 4},   {"terms_max", 5}, {"pretrain_terms_min", 2}, {"pretrain_terms_max", 6}, {"pretrain_tilt", 2},
      {"p_equations", 0}, {"p_chat", 0}};
  const auto task = make_task("chain", options);
  Rng rng(10);
  std::map<size_t, int> counts;
  for (int i = 0; i < 3100; i++) counts[evaluate(split(task->document(rng).text, ":")[0]).numbers.size()]++;
  for (size_t n = 2; n <= 6; n++) EXPECT_NEAR(counts[n], 100 << (n - 2), 30 + (20 << (n - 2)) / 2) << n << " terms";
  for (int i = 0; i < 200; i++) {
    const size_t terms = task->draw(rng).numbers.size();
    EXPECT_TRUE(terms == 4 || terms == 5);
  }
}

TEST(Gcd, EuclidStepsEndInTheAnswer) {
  const auto task = make_task("gcd", {{"p_direct", 0}, {"p_slip", 0}});
  const auto slipping = make_task("gcd", {{"p_direct", 0}, {"p_slip", 1}});
  Rng rng(11);
  int ones = 0;
  for (int i = 0; i < 2000; i++) {
    const Problem problem = task->draw(rng);
    EXPECT_EQ(problem.answer, std::to_string(std::gcd(problem.numbers[0], problem.numbers[1])));
    ones += problem.answer == "1";
    const std::string shown = task->demonstration(problem, rng);
    EXPECT_EQ(task->reward(problem, shown).total, 1) << shown;
    for (const std::string& step : split(std::string(parse_response(shown).thinking), ","))
      EXPECT_TRUE(true_equation(step)) << shown;
    EXPECT_LT(slipping->demonstration(problem, rng).size(), 2000u);
  }
  EXPECT_LT(ones, 400);  // "1" without thinking must not pay
}

TEST(Sort, StepsTakeTheLeast) {
  const auto task = make_task("sort", {{"count_min", 2}, {"count_max", 9}, {"p_direct", 0}, {"p_slip", 0}});
  Rng rng(12);
  for (int i = 0; i < 1000; i++) {
    const Problem problem = task->draw(rng);
    std::vector<int64_t> sorted = problem.numbers;
    std::sort(sorted.begin(), sorted.end());
    std::string want;
    for (const int64_t n : sorted) want += (want.empty() ? "" : ",") + std::to_string(n);
    EXPECT_EQ(problem.answer, want);
    const std::string shown = task->demonstration(problem, rng);
    EXPECT_EQ(task->reward(problem, shown).total, 1) << shown;
    for (const std::string& step : split(std::string(parse_response(shown).thinking), ";"))
      EXPECT_TRUE(true_choice(step)) << shown;
  }
}

// Every attempt "a+b=c,c*d=e?t✓": equations true, the target restated, the verdict right.
void expect_honest_search(const std::string& search, int64_t target) {
  std::string left = search;
  while (!left.empty()) {
    const size_t hit = left.find("✓"), miss = left.find("✗"), end = std::min(hit, miss);
    ASSERT_NE(end, std::string::npos) << search;
    const auto parts = split(left.substr(0, end), "?");
    ASSERT_EQ(parts.size(), 2u) << search;
    EXPECT_EQ(parts[1], std::to_string(target)) << search;
    const auto equations = split(parts[0], ",");
    ASSERT_EQ(equations.size(), 2u) << search;
    for (const std::string& equation : equations) EXPECT_TRUE(true_equation(equation)) << search;
    EXPECT_EQ(split(equations[1], "=")[1] == parts[1], hit < miss) << search;
    left.erase(0, end + std::string("✓").size());
    if (hit < miss) {
      EXPECT_TRUE(left.empty()) << "goes on behind a hit: " << search;
    }
  }
}

TEST(Countdown, SearchesAreHonest) {
  const auto task = make_task("countdown");
  Rng rng(13);
  for (int i = 0; i < 1500; i++) {
    const Problem problem = task->draw(rng);
    const std::string shown = task->demonstration(problem, rng);
    const std::string search(parse_response(shown).thinking);
    expect_honest_search(search, problem.target);
    EXPECT_EQ(task->reward(problem, shown).total == 1, search.ends_with("✓")) << problem.question << shown;
  }
}

TEST(Countdown, CarefulTeacherFindsMoreThanTheSloppyOne) {
  const auto careful = make_task("countdown", {{"p_careful", 1}, {"p_slip", 0}}),
             sloppy = make_task("countdown", {{"p_careful", 0}});
  Rng rng(14);
  int found[2] = {0, 0};
  for (int i = 0; i < 1000; i++) {
    const Problem problem = careful->draw(rng);
    found[0] += careful->reward(problem, careful->demonstration(problem, rng)).total == 1;
    const std::string shown = sloppy->demonstration(problem, rng);
    found[1] += sloppy->reward(problem, shown).total == 1;
    EXPECT_LE(std::count(shown.begin(), shown.end(), '?'), 6);
  }
  EXPECT_EQ(found[0], 1000);  // each first step once, best second step: an answer exists, so it is found
  EXPECT_LT(found[1], 700);
}

// All values that three numbers give by + - * (any sign, any size on the way), beside the task's own enumeration.
std::set<int64_t> brute_force(std::vector<int64_t> n, int64_t cap) {
  std::set<int64_t> values;
  const auto apply = [](int64_t a, int op, int64_t b) { return op == 0 ? a + b : op == 1 ? a - b : a * b; };
  const auto fits = [&](int64_t v) { return v >= 1 && v <= cap; };
  std::sort(n.begin(), n.end());
  do {
    for (int first = 0; first < 3; first++) {
      const int64_t v = apply(n[0], first, n[1]);
      if (!fits(v)) continue;
      for (int second = 0; second < 3; second++)
        for (const int64_t w : {apply(v, second, n[2]), apply(n[2], second, v)})
          if (fits(w)) values.insert(w);
    }
  } while (std::next_permutation(n.begin(), n.end()));
  return values;
}

TEST(Countdown, VerifierAgreesWithBruteForce) {
  Rng rng(15);
  for (int i = 0; i < 60; i++) {
    const std::vector<int64_t> n = {rng.between(1, 9), rng.between(1, 9), rng.between(1, 9)};
    // Every expression of the two shapes (x∘y)∘z and z∘(x∘y), over all orders, against its value in plain integers.
    std::vector<int64_t> order = n;
    std::sort(order.begin(), order.end());
    std::set<int64_t> reached;
    do {
      for (const char p : {'+', '-', '*'}) {
        for (const char q : {'+', '-', '*'}) {
          const auto apply = [](int64_t a, char op, int64_t b) {
            return op == '+' ? a + b : op == '-' ? a - b : a * b;
          };
          const int64_t v = apply(order[0], p, order[1]);
          const std::string inner = "(" + std::to_string(order[0]) + p + std::to_string(order[1]) + ")";
          const std::string z = std::to_string(order[2]);
          const int64_t w = apply(v, q, order[2]), u = apply(order[2], q, v);
          EXPECT_TRUE(solves_countdown(inner + q + z, n, w));
          EXPECT_TRUE(solves_countdown(z + q + inner, n, u));
          EXPECT_FALSE(solves_countdown(inner + q + z, n, w + 1));
          EXPECT_FALSE(solves_countdown(inner + q + z, {n[0], n[1], n[2] + 1}, w));
          for (const int64_t value : {w, u})
            if (v >= 1 && v <= 50 && value >= 1 && value <= 50) reached.insert(value);
        }
      }
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_EQ(reached, brute_force(n, 50));
  }
}

// 877 training and 143 held-out problems of numbers 1 … 9 (shared/peers/rlpilot/README.md, Recipe 2), and the same set
// as brute force finds.
TEST(Countdown, HasThePilotsProblems) {
  const auto task = make_task("countdown", {{"lo", 1}, {"hi", 9}, {"target_min", 10}, {"value_max", 50}});
  std::set<std::string> train, held, want_train, want_held;
  for (const Problem& problem : task->held_out(10'000)) held.insert(problem.key);
  Rng rng(16);
  for (int i = 0; i < 30'000; i++) train.insert(task->draw(rng).key);
  for (int64_t a = 1; a <= 9; a++)
    for (int64_t b = a; b <= 9; b++)
      for (int64_t c = b; c <= 9; c++)
        for (const int64_t target : brute_force({a, b, c}, 50)) {
          if (target < 10) continue;
          const std::string key = "cd(" + std::to_string(a) + ", " + std::to_string(b) + ", " + std::to_string(c) +
                                  ")" + std::to_string(target);
          (is_held_out(key) ? want_held : want_train).insert(key);
        }
  EXPECT_EQ(held, want_held);
  EXPECT_EQ(train, want_train);
  EXPECT_EQ(train.size(), 877u);
  EXPECT_EQ(held.size(), 143u);
}

TEST(Tasks, Crc32IsZlibs) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926u);
  EXPECT_EQ(crc32(""), 0u);
}

void expect_refusal(const std::string& task, const TaskOptions& options, const std::string& part) {
  try {
    make_task(task, options);
    FAIL() << "expected a refusal with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Tasks, OptionsAreChecked) {
  expect_refusal("chian", {}, "did you mean chain?");
  expect_refusal("chain", {{"p_slp", 0.1}}, "did you mean p_slip?");
  expect_refusal("chain", {{"p_slip", 1.5}}, "expected 0 to 1, got 1.5");
  expect_refusal("chain", {{"p_slip", std::nan("")}}, "p_slip");
  expect_refusal("chain", {{"terms_min", 4.5}}, "expected a whole number, got 4.5");
  expect_refusal("chain", {{"terms_min", 8}, {"terms_max", 7}}, "terms_max");
  expect_refusal("countdown", {{"hi", 1e18}}, "hi");
  expect_refusal("countdown", {{"lo", 1}, {"hi", 1}}, "leave no problem");
  expect_refusal("sort", {{"count_max", 200}}, "count_max");
  expect_refusal("jsonl", {}, "expected a file");
  EXPECT_THROW(make_task("chain", {}, "x.jsonl"), Error);
  // A sum of 64 terms that never passes 9 is too rare to be found: an error, not a hang.
  const auto impossible = make_task("chain", {{"terms_min", 64}, {"terms_max", 64}, {"max_value", 9}});
  Rng rng(17);
  EXPECT_THROW(impossible->draw(rng), Error);
}

}  // namespace
}  // namespace tenth
