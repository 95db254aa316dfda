// Problems from files: the shared reasoning items and GSM8K, each compared by its own rule, and broken files.
#include "problems/jsonl.h"

#include <fstream>
#include <set>

#include "base/error.h"
#include "problems/answer.h"
#include "problems/response.h"
#include "shared.h"

namespace tenth {
namespace {

Path written(const std::string& text) {
  const Path path =
      Path(testing::TempDir()) / ("jsonl_test_" + std::to_string(std::hash<std::string>()(text)) + ".jsonl");
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

double total(const JsonlTask& task, size_t index, const std::string& answer) {
  return task.reward(task.problems().at(index), format_response("so", answer)).total;
}

TEST(Jsonl, ReferenceAnswersOfTheReasoningItemsAreRight) {
  TENTH_NEEDS_SHARED();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shared_folder() / "data/reasoning")) {
    if (entry.path().extension() != ".jsonl") continue;
    SCOPED_TRACE(entry.path().filename().string());
    const JsonlTask task(entry.path(), {});
    ASSERT_EQ(task.problems().size(), 200u);
    for (size_t i = 0; i < task.problems().size(); i++) {
      const Problem& problem = task.problems()[i];
      ASSERT_EQ(total(task, i, problem.answer), 1) << problem.question << problem.answer;
      ASSERT_EQ(total(task, i, problem.answer + " 1"), 0) << problem.answer;
      ASSERT_EQ(total(task, i, ""), 0);
    }
    files++;
  }
  EXPECT_EQ(files, 13);
}

TEST(Jsonl, EachReasoningTaskHasItsRule) {  // shared/data/reasoning/README.md
  TENTH_NEEDS_SHARED();
  const auto open = [](const char* name) {
    return JsonlTask(shared_folder() / "data/reasoning" / (std::string(name) + ".jsonl"), {});
  };
  const JsonlTask gcd = open("gcd");  // exact: the first answer is "2"
  EXPECT_EQ(total(gcd, 0, "2.0"), 0);
  const JsonlTask chain = open("chain_sum");  // decimal: -4
  EXPECT_EQ(total(chain, 0, "-4.00"), 1);
  EXPECT_EQ(total(chain, 0, "-8/2"), 0);
  EXPECT_EQ(total(chain, 0, "-4.0000001"), 0);
  const JsonlTask sort = open("number_sorting");  // ['-69.0', '-40.0', '51.0']
  EXPECT_EQ(total(sort, 0, "[-69, \"-40\", '51']"), 1);
  EXPECT_EQ(total(sort, 0, "[-69, -40]"), 0);
  EXPECT_EQ(total(sort, 0, "[-40, -69, 51]"), 0);
  EXPECT_EQ(total(sort, 0, "-69, -40, 51"), 0);
  const JsonlTask factors = open("prime_factorization");  // the last: 2 × 2 × 3 × 13 × 43
  EXPECT_EQ(total(factors, 199, "43 × 13 × 2 × 3 × 2"), 1);
  EXPECT_EQ(total(factors, 199, "4 × 3 × 13 × 43"), 0);
  const JsonlTask backward = open("spell_backward");
  EXPECT_EQ(total(backward, 0, "ZTAB"), 1);
  EXPECT_EQ(total(backward, 0, "batz"), 0);
}

TEST(Jsonl, ReadsGsm8k) {
  TENTH_NEEDS_SHARED();
  const JsonlTask task(shared_folder() / "data/math/gsm8k-train.jsonl", {});
  ASSERT_EQ(task.problems().size(), 7473u);
  EXPECT_EQ(task.problems()[0].answer, "72");
  for (size_t i = 0; i < task.problems().size(); i++) ASSERT_EQ(total(task, i, task.problems()[i].answer), 1) << i;
  const Problem& first = task.problems()[0];
  for (const char* right : {"so</think>\\boxed{72}", "so</think>She sold $\\boxed{72.0}$ clips.",
                            "so</think>it is\n#### 72", "a</think><answer>5</answer><answer>72 clips</answer>"})
    EXPECT_EQ(task.reward(first, right).total, 1) << right;
  for (const char* wrong : {"<answer>72</answer>", "\\boxed{72}</think>", "so</think>72", "so</think>\\boxed{73}"})
    EXPECT_EQ(task.reward(first, wrong).total, 0) << wrong;
  EXPECT_EQ(task.reward(first, "so</think>\\boxed{72}", false).total, 0);  // truncated
  Rng rng(1);
  const std::string shown = task.demonstration(first, rng);
  EXPECT_EQ(shown,
            "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips altogether in April and May."
            "</think><answer>72</answer>");
  EXPECT_NEAR(double(task.held_out(100'000).size()), 7473 / 8.0, 120);
}

TEST(Jsonl, NumbersTextAndTheWayTheyAreCompared) {
  const Path file = written(
      "{\"question\": \"half?\", \"answer\": 0.5}\n"
      "\r\n"
      "{\"question\": \"name?\", \"answer\": \"\\\\frac{\\\\pi}{2}\"}\r\n"
      "{\"question\": \"third?\", \"answer\": \"1/3\"}");
  const JsonlTask task(file, {}), exact(file, {{"exact", 1}}), plain(file, {{"thinking", 0}});
  EXPECT_EQ(total(task, 0, "1/2"), 1);
  EXPECT_EQ(total(task, 0, "\\frac12"), 0);  // not a form that is read
  EXPECT_EQ(total(exact, 0, "1/2"), 0);
  EXPECT_EQ(total(exact, 0, "0.5"), 1);
  EXPECT_EQ(total(task, 1, "$\\dfrac{ \\pi }{2}$"), 1);
  EXPECT_EQ(total(task, 1, "\\frac{\\pi}{3}"), 0);
  EXPECT_EQ(total(task, 2, "0.3333333"), 1);
  EXPECT_EQ(total(task, 2, "0.3333"), 0);
  EXPECT_EQ(task.reward(task.problems()[0], "<answer>0.5</answer>").total, 0);
  EXPECT_EQ(plain.reward(plain.problems()[0], "<answer>0.5</answer>").total, 1);
}

TEST(Jsonl, DrawsNothingThatIsHeldOut) {
  std::string text;
  for (int i = 0; i < 200; i++) text += "{\"question\": \"q" + std::to_string(i) + "\", \"answer\": \"1\"}\n";
  const JsonlTask task(written(text), {});
  std::set<std::string> held, drawn;
  for (const Problem& problem : task.held_out(1000)) held.insert(problem.question);
  Rng rng(1);
  for (int i = 0; i < 5000; i++) drawn.insert(task.draw(rng).question);
  EXPECT_EQ(held.size() + drawn.size(), 200u);
  for (const std::string& question : held) EXPECT_FALSE(drawn.count(question));
  EXPECT_EQ(task.held_out(3).size(), 3u);
}

void expect_refusal(const std::string& text, const std::string& part) {
  try {
    JsonlTask(written(text), {});
    FAIL() << "expected a refusal with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Jsonl, BrokenFilesAreRefusedByLineAndField) {
  const std::string good = "{\"question\": \"q\", \"answer\": \"1\"}\n";
  expect_refusal("", "expected problems");
  expect_refusal("\n\n", "expected problems");
  expect_refusal(good + "{\"question\": \"q\", \"answ", ".jsonl:2");
  expect_refusal(good + "[1]\n", ".jsonl:2: expected an object, got array");
  expect_refusal(good + "{\"question\": \"q\"}\n", ".jsonl:2: expected a field answer, got none");
  expect_refusal("{\"question\": [], \"answer\": \"1\"}", ".jsonl:1: question: expected a string, got array");
  expect_refusal("{\"question\": \"q\", \"answer\": \" \"}", "answer: expected some text");
  expect_refusal("{\"question\": \"q\", \"answer\": \"1\", \"task\": \"countdown\"}", "expected a field metadata");
  expect_refusal(
      "{\"question\": \"q\", \"answer\": \"1\", \"task\": \"countdown\", \"metadata\": {\"numbers\": [1.5], "
      "\"target\": 1}}",
      "metadata.numbers");
  expect_refusal(
      "{\"question\": \"q\", \"answer\": \"1\", \"task\": \"countdown\", \"metadata\": {\"numbers\": [1], \"target\": "
      "99999999999999999999}}",
      "metadata.target");
  expect_refusal("{\"question\": \"\xff\xfe\", \"answer\": \"1\"}", ".jsonl:1");
  expect_refusal(std::string(100'000, '['), ".jsonl:1");
  EXPECT_THROW(JsonlTask("no/such/file.jsonl", {}), Error);
}

}  // namespace
}  // namespace tenth
