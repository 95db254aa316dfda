// Graded answers: how the shares and their error are counted, and what the answers depend on.
#include "eval/graded.h"

#include <cmath>

#include "tensor_util.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

// Right is what the problem's number says, in turn for the samples of a problem: 0 none, 1 every other one, 2 all.
class Scripted : public Task {
 public:
  std::string name() const override { return "scripted"; }
  Problem draw(Rng&) const override { return problem(2, 0); }
  std::vector<Problem> held_out(int) const override { return {}; }
  std::string demonstration(const Problem&, Rng&) const override { return ""; }
  Document document(Rng&) const override { return {}; }
  std::vector<std::string> vocabulary() const override { return {}; }
  Reward reward(const Problem& problem, std::string_view, bool) const override {
    const int64_t share = problem.numbers.at(0);
    return {share == 2 || (share == 1 && calls_++ % 2 == 0) ? 1.0 : 0.5, 1, 1};
  }
  static Problem problem(int64_t share, int64_t index) {
    return {.question = fmt::format("{}+1=?", index), .answer = "7", .numbers = {share}};
  }
  mutable int64_t calls_ = 0;
};

class Graded : public ::testing::Test {
 protected:
  GradedResult grade(const std::vector<int64_t>& shares, const GradedOptions& options) {
    std::vector<Problem> problems;
    for (size_t i = 0; i < shares.size(); i++) problems.push_back(Scripted::problem(shares[i], int64_t(i)));
    return evaluate(*model_, tokenizer_, Scripted(), problems, options);
  }
  static std::vector<std::string> texts(const GradedResult& result) {
    std::vector<std::string> all;
    for (const GradedAnswer& answer : result.answers) all.push_back(answer.completion);
    return all;
  }

  Tokenizer tokenizer_ = tiny_tokenizer();
  std::unique_ptr<Transformer> model_ = random_model(tiny_recipe());
};

TEST_F(Graded, AccuracyIsTheMeanOverProblemsOfTheShareRight) {
  const GradedResult result = grade({0, 1, 2, 2}, {.samples = 2, .temperature = 1, .max_new_tokens = 4});
  EXPECT_EQ(result.evaluation.problems, 4);
  EXPECT_EQ(result.evaluation.samples, 2);
  EXPECT_DOUBLE_EQ(result.evaluation.accuracy, (0 + 0.5 + 1 + 1) / 4);
  // Over the problems, as the samples of one are not independent: the standard deviation of {0, 1/2, 1, 1} over
  // sqrt(4).
  const double variance = (0 + 0.25 + 1 + 1) / 4 - 0.625 * 0.625;
  EXPECT_NEAR(result.evaluation.standard_error, std::sqrt(variance / 4), 1e-12);
  ASSERT_EQ(result.answers.size(), 8u);
  double tokens = 0, cut = 0, thinks = 0;
  for (size_t i = 0; i < 8; i++) {
    EXPECT_EQ(result.answers[i].problem, i / 2);
    EXPECT_LE(result.answers[i].tokens, 4);
    tokens += double(result.answers[i].tokens) / 8;
    cut += result.answers[i].finished ? 0 : 0.125;
    thinks += result.answers[i].thinks ? 0.125 : 0;
  }
  EXPECT_DOUBLE_EQ(result.evaluation.mean_tokens, tokens);
  EXPECT_DOUBLE_EQ(result.evaluation.truncated_share, cut);
  EXPECT_DOUBLE_EQ(result.evaluation.thinking_share, thinks);
}

TEST_F(Graded, PartRewardsAreNotRight) {
  EXPECT_EQ(grade({0, 0}, {.max_new_tokens = 3}).evaluation.accuracy, 0);
  EXPECT_EQ(grade({0, 0}, {.max_new_tokens = 3}).evaluation.standard_error, 0);
  EXPECT_EQ(grade({2, 2}, {.max_new_tokens = 3}).evaluation.accuracy, 1);
  EXPECT_EQ(grade({}, {.max_new_tokens = 3}).evaluation.problems, 0);
}

TEST_F(Graded, AnswersDependOnTheSeedAndNotOnTheCompany) {
  const GradedOptions options{.samples = 2, .temperature = 1, .max_new_tokens = 8, .seed = 4};
  const std::vector<std::string> four = texts(grade({0, 0, 0, 0}, options)), two = texts(grade({0, 0}, options));
  EXPECT_EQ(two, (std::vector<std::string>{four.begin(), four.begin() + 4}));
  EXPECT_NE(four[0], four[1]) << "the samples of a problem differ";
  GradedOptions other = options;
  other.seed = 5;
  EXPECT_NE(texts(grade({0, 0, 0, 0}, other)), four);
  other.temperature = options.temperature;
  const ThreadCount one(1);
  EXPECT_EQ(texts(grade({0, 0, 0, 0}, options)), four);
}

TEST_F(Graded, EveryEndTokenOfTheConfigEndsAnAnswer) {
  ModelConfig config = model_->config();
  const int32_t stop = stop_id(tokenizer_);
  config.eos_token_ids = {};
  EXPECT_EQ(stop_ids(tokenizer_, config), (std::vector<int32_t>{stop}));
  config.eos_token_ids = {7, 9};
  EXPECT_EQ(stop_ids(tokenizer_, config), (std::vector<int32_t>{stop, 7, 9}));
}

TEST_F(Graded, FinishedAnswersAreWithoutTheirEnd) {
  const int32_t stop = stop_id(tokenizer_);
  Completion completion{.ids = {24, 25, stop}, .logprobs = {}, .stopped = true, .experts = {}};
  const std::string text = completion_text(tokenizer_, completion);
  EXPECT_EQ(text, tokenizer_.decode(std::vector<int32_t>{24, 25}, false));
  completion.stopped = false;
  EXPECT_EQ(completion_text(tokenizer_, completion), text + "<eos>");
}

TEST_F(Graded, AVocabularyThatDoesNotFitIsRefused) {
  ModelConfig config = model_->config();
  EXPECT_NO_THROW(check_vocabulary(tokenizer_, config, "m"));
  config.vocab_size = 200;  // padded
  EXPECT_NO_THROW(check_vocabulary(tokenizer_, config, "m"));
  config.vocab_size = 120;
  EXPECT_EQ(error_of([&] { check_vocabulary(tokenizer_, config, "m"); }),
            "m: vocab_size: tokenizer.json has 121 tokens, config.json only 120");
}

}  // namespace
}  // namespace tenth::testing
