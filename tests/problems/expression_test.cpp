// What a model writes as an expression, a number or a response: read exactly, or refused fast.
#include "problems/expression.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "problems/response.h"

namespace tenth {
namespace {

Rational value_of(const std::string& text, ExpressionRules rules = {}) {
  const Expression got = evaluate(text, rules);
  EXPECT_TRUE(got.ok()) << text << ": " << got.error;
  return got.value;
}

TEST(Expression, ComputesExactly) {
  EXPECT_EQ(value_of("1+2*3"), (Rational{7, 1}));
  EXPECT_EQ(value_of("(1+2)*3"), (Rational{9, 1}));
  EXPECT_EQ(value_of("8-3-2"), (Rational{3, 1}));
  EXPECT_EQ(value_of("16/4/2"), (Rational{2, 1}));
  EXPECT_EQ(value_of(" ( 8 / 3 ) "), (Rational{8, 3}));
  EXPECT_EQ(value_of("8/(3-8/3)"), (Rational{24, 1}));  // the classic that doubles miss
  EXPECT_EQ(value_of("0"), (Rational{0, 1}));
  EXPECT_EQ(value_of("((((7))))"), (Rational{7, 1}));
  EXPECT_EQ(value_of("2/4-9"), (Rational{-17, 2}));
  EXPECT_EQ(evaluate("4*(10-4)/3").numbers, (std::vector<int64_t>{4, 10, 4, 3}));
}

TEST(Expression, RefusesWhatIsNone) {
  for (const std::string text :
       {"",   " ",   "+",   "1+",   "*2",  "1 2", "(1",    "1)", "()",  "-1",       "1--2", "2*-3", "+3",   "01+2",
        "00", "1.5", "1e3", "2**3", "2^3", "2×3", "1+2=3", "a",  "1+a", "(1+2)(3)", "1//2", "1;2",  "0x10", "١"})
    EXPECT_FALSE(evaluate(text).ok()) << text;
  EXPECT_FALSE(evaluate(std::string("1\0+2", 4)).ok());
  EXPECT_FALSE(evaluate(std::string("1\0", 2)).ok());
  EXPECT_EQ(evaluate("1/0").error, "division by zero");
  EXPECT_EQ(evaluate("1/(3-3)").error, "division by zero");
  EXPECT_EQ(evaluate("(1+2").error, "a parenthesis is not closed");
}

TEST(Expression, UnaryMinusOnlyByRule) {
  const ExpressionRules rules{.unary_minus = true};
  EXPECT_EQ(value_of("-19-9+39*(19+71)/9", rules), (Rational{362, 1}));
  EXPECT_EQ(value_of("5*(-57+70)", rules), (Rational{65, 1}));
  EXPECT_EQ(value_of("-2*3", rules), (Rational{-6, 1}));
  EXPECT_FALSE(evaluate("2--1", rules).ok());
  EXPECT_FALSE(evaluate("--1", rules).ok());
}

TEST(Expression, LimitsHoldAgainstHostileText) {
  for (const char c : {'(', ')', '9', '-', '+', ' ', '\xff'}) EXPECT_FALSE(evaluate(std::string(1 << 20, c)).ok());
  EXPECT_TRUE(evaluate(std::string(32, '(') + "1" + std::string(32, ')')).ok());
  EXPECT_EQ(evaluate(std::string(33, '(') + "1" + std::string(33, ')')).error, "parentheses nested too deep");
  const ExpressionRules endless{.max_length = 1 << 20, .unary_minus = true};
  EXPECT_FALSE(evaluate(std::string(1 << 20, '('), endless).ok());
  EXPECT_EQ(evaluate("1234567890").error, "a number has too many digits");
  EXPECT_EQ(evaluate("999999999*999999999*999999999").error, "the value does not fit into 64 bits");
  EXPECT_EQ(evaluate("1/999999999/999999999/999999999").error, "the value does not fit into 64 bits");
}

// Random expressions, computed beside the parser in doubles.
double build(Rng& rng, int depth, std::string& text) {
  if (depth == 0 || rng.chance(0.3)) {
    const int64_t n = rng.between(1, 20);
    text += std::to_string(n);
    return double(n);
  }
  text += '(';
  const double left = build(rng, depth - 1, text);
  const char op = "+-*/"[rng.below(4)];
  text += op;
  const double right = build(rng, depth - 1, text);
  text += ')';
  return op == '+' ? left + right : op == '-' ? left - right : op == '*' ? left * right : left / right;
}

TEST(Expression, AgreesWithDoublesOnRandomTrees) {
  Rng rng(1);
  int compared = 0;
  for (int i = 0; i < 2000; i++) {
    std::string text;
    const double want = build(rng, 4, text);
    const Expression got = evaluate(text, {.max_length = 1000});
    if (!got.ok()) {
      EXPECT_TRUE(got.error == "division by zero" || got.error == "the value does not fit into 64 bits") << got.error;
      continue;
    }
    const double value = double(got.value.num) / double(got.value.den);
    ASSERT_NEAR(value, want, 1e-9 * std::max(1.0, std::abs(want))) << text;
    compared++;
  }
  EXPECT_GT(compared, 1500);
}

TEST(Expression, RandomBytesNeverCrash) {
  Rng rng(2);
  for (int i = 0; i < 20'000; i++) {
    std::string text;
    for (uint64_t n = rng.below(24); n > 0; n--) text += "0123456789+-*/() x"[rng.below(18)];
    evaluate(text, {.unary_minus = rng.chance(0.5)});
    parse_number(text);
  }
}

TEST(Expression, CountdownTakesEachNumberExactlyOnce) {
  EXPECT_TRUE(solves_countdown("(7*5)-8", {5, 7, 8}, 27));
  EXPECT_TRUE(solves_countdown("7 * 5 - 8", {5, 7, 8}, 27));
  EXPECT_FALSE(solves_countdown("7*5-9", {5, 7, 8}, 26));       // a number that was not given
  EXPECT_FALSE(solves_countdown("7*5", {5, 7, 8}, 35));         // one left over
  EXPECT_FALSE(solves_countdown("7*5-8+8-8", {5, 7, 8}, 27));   // one used again
  EXPECT_FALSE(solves_countdown("27", {5, 7, 8}, 27));          // the target itself
  EXPECT_FALSE(solves_countdown("75-8", {5, 7, 8}, 67));        // digits run together
  EXPECT_FALSE(solves_countdown("(7*5)-8", {5, 7, 8}, 28));     // another value
  EXPECT_FALSE(solves_countdown("(7*5)-8=27", {5, 7, 8}, 27));  // text behind
  EXPECT_FALSE(solves_countdown("-8+7*5", {5, 7, 8}, 27));      // unary minus
  EXPECT_TRUE(solves_countdown("8/(3-8/3)", {3, 3, 8, 8}, 24));
}

TEST(Number, Decimals) {
  EXPECT_EQ(parse_decimal("12"), (Rational{12, 1}));
  EXPECT_EQ(parse_decimal("+01,000.00"), (Rational{1000, 1}));
  EXPECT_EQ(parse_decimal("-3.50"), (Rational{-7, 2}));
  EXPECT_EQ(parse_decimal("-0.0"), (Rational{0, 1}));
  EXPECT_EQ(parse_decimal(".5"), (Rational{1, 2}));
  EXPECT_EQ(parse_decimal("109,200,000"), (Rational{109'200'000, 1}));
  for (const char* text : {"", "-", ".", "1.2.3", "1,2", "1,0000", ",100", "1,,000", "1,00.5", "1e5", "1 2", "--1",
                           "1-", "12345678901234567890", "0x1", "nan", "inf"})
    EXPECT_FALSE(parse_decimal(text)) << text;
}

TEST(Number, WaysOfWritingOne) {
  const Rational half{1, 2}, many{1000, 1};
  for (const char* text : {"1/2", "0.5", ".5", "\\frac{1}{2}", "\\dfrac{1}{2}", "$\\tfrac{1}{2}$", " 0.50 ", "2 / 4"})
    EXPECT_EQ(parse_number(text), half) << text;
  for (const char* text : {"1000", "$1,000", "1,000.", "\\$1000", "1000 dollars", "1,\\!000", "1000\\text{ cm}",
                           "1000%", "1000\\%", "1000^\\circ", "1000°", "+1000"})
    EXPECT_EQ(parse_number(text), many) << text;
  EXPECT_EQ(parse_number("-\\frac{1}{2}"), (Rational{-1, 2}));
  for (const char* text : {"1/0", "x", "1/2/3", "5 or 6", "(1,2)", "\\frac{1}{", "\\frac{}{}", "\\text{", "1 2"})
    EXPECT_FALSE(parse_number(text)) << text;
  EXPECT_FALSE(parse_number(std::string(1 << 20, '1')));
}

TEST(Response, StrictForm) {
  const Response good = parse_response("3+5=8</think><answer>8</answer>");
  EXPECT_TRUE(good.well_formed);
  EXPECT_EQ(good.thinking, "3+5=8");
  EXPECT_EQ(good.answer, "8");
  EXPECT_TRUE(parse_response("</think><answer>8</answer>").well_formed);
  EXPECT_TRUE(parse_response("a < b</think>\n\n<answer> 8 </answer>\n").well_formed);
  for (const char* text :
       {"", "8", "<answer>8</answer>", "3+5=8<answer>8</answer>", "</think>8", "</think><answer>8",
        "</think><answer>8</answer", "<answer>8</answer></think><answer>8</answer>",  // answer inside the thinking
        "</think><answer>7</answer><answer>8</answer>",                               // two answers
        "</think><answer>8</answer> because", "</think>so<answer>8</answer>",         // text outside
        "</think></think><answer>8</answer>", "<think></think><answer>8</answer>",    // tags again
        "</think><answer><answer>8</answer></answer>", "</think></answer><answer>",
        "</think><answer></think></answer>"})
    EXPECT_FALSE(parse_response(text).well_formed) << text;
}

TEST(Response, LenientForm) {
  EXPECT_EQ(find_answer("so</think> It is <answer>7</answer>, no, <answer>8</answer>.", true), "8");
  EXPECT_EQ(find_answer("so</think> thus \\boxed{\\frac{1}{2}}.", true), "\\frac{1}{2}");
  EXPECT_EQ(find_answer("so</think> thus\n#### 72\n", true), "72");
  EXPECT_EQ(find_answer("<answer>7</answer>", false), "7");
  EXPECT_FALSE(find_answer("<answer>7</answer>", true));               // still thinking
  EXPECT_FALSE(find_answer("<think>\\boxed{7}", false));               // thinking opened, not closed
  EXPECT_FALSE(find_answer("\\boxed{7}</think>I do not know", true));  // only in the thinking
  EXPECT_FALSE(find_answer("</think>\\boxed{7", true));
  EXPECT_EQ(reference_answer("Half of 48.\n#### 1,072"), "1,072");
  EXPECT_EQ(reference_answer("so $\\boxed{x+1}$."), "x+1");
  EXPECT_EQ(reference_answer(" 7e "), "7e");
}

TEST(Response, LongHostileTextIsLinear) {
  for (const std::string part : {"<answer>", "</answer>", "\\boxed{", "####", "</think>", "<"}) {
    std::string text = "</think>";
    while (text.size() < (1 << 20)) text += part;
    parse_response(text);
    find_answer(text, true);
    reference_answer(text);
  }
}

}  // namespace
}  // namespace tenth
