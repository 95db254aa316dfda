#include "train/curves.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "train/compare.h"

namespace tenth {
namespace {

MetricRecord step(int64_t n, double wall, double loss) {
  return {"train", n, wall, 0, {{"loss", loss}, {"tokens", 100}, {"flops", 1e6}}};
}

// Loss 10 - share of the way, in 100 steps.
LearningCurve line(double from, double to, double flops) {
  LearningCurve curve;
  for (int i = 1; i <= 100; i++) {
    curve.y.push_back(from + (to - from) * i / 100);
    curve.tokens.push_back(i);
    curve.flops.push_back(flops * i);
    curve.seconds.push_back(2.0 * i);
  }
  return curve;
}

TEST(Curves, AddUpTheCostOfStepsAlone) {
  const std::vector<MetricRecord> records = {{"train", 0, 5, 0, {}},
                                             step(1, 6, 3),
                                             step(2, 8, 2.5),
                                             {"train", 2, 20, 0, {{"val_bpb", 1.5}}},
                                             step(3, 21, 2),
                                             {"sft", 0, 30, 0, {}},
                                             {"sft", 1, 31, 0, {{"loss", 9}}}};
  const LearningCurve loss = learning_curve(records, "train", "loss"),
                      bits = learning_curve(records, "train", "val_bpb");
  EXPECT_EQ(loss.y, (std::vector<double>{3, 2.5, 2}));
  EXPECT_EQ(loss.tokens, (std::vector<double>{100, 200, 300}));
  EXPECT_EQ(loss.flops, (std::vector<double>{1e6, 2e6, 3e6}));
  EXPECT_EQ(loss.seconds, (std::vector<double>{1, 3, 4}));  // not the evaluation
  EXPECT_EQ(bits.y, (std::vector<double>{1.5}));
  EXPECT_EQ(bits.tokens, (std::vector<double>{200}));
  EXPECT_EQ(supervised_stage(records), "train");
  EXPECT_EQ(supervised_stage({records.begin() + 5, records.end()}), "sft");
  EXPECT_FALSE(supervised_stage({}).has_value());
}

TEST(Curves, ARepeatedStepReplacesWhatFollowedIt) {
  const LearningCurve loss = learning_curve(
      {step(1, 1, 3), step(2, 2, 2.5), step(3, 3, std::nan("")), step(2, 10, 2.4), step(3, 11, 2.3)}, "train", "loss");
  EXPECT_EQ(loss.y, (std::vector<double>{3, 2.4, 2.3}));
  EXPECT_EQ(loss.tokens, (std::vector<double>{100, 200, 300}));
}

TEST(Curves, SmoothingKeepsAStraightLine) {
  const LearningCurve curve = line(10, 5, 1), smooth = smoothed(curve);
  ASSERT_EQ(smooth.y.size(), 96u);  // windows of five
  for (size_t i = 0; i < smooth.y.size(); i++) EXPECT_NEAR(smooth.y[i], 10 - smooth.flops[i] * 0.05, 1e-12);
  EXPECT_NEAR(smooth.y.back(), final_value(curve), 1e-12);
  EXPECT_NEAR(*cost_to_reach(curve, curve.flops, 7.525), 49.5, 1e-9);
  EXPECT_FALSE(cost_to_reach(curve, curve.flops, 4.9).has_value());
  EXPECT_EQ(cost_to_reach(curve, curve.flops, 11), 1);
  EXPECT_TRUE(smoothed({}).empty());
  EXPECT_TRUE(std::isnan(final_value({})));
}

ComparedRun run(const std::string& folder, const std::string& seed, const std::string& lr, const LearningCurve& loss) {
  return {folder, seed, {{"optim.lr", lr}}, smoothed(loss), {}};
}

TEST(Compare, TheRatioOfStraightLinesIsThatOfTheirSlopes) {
  // The control falls by 2 in 100 steps, the other by 4 at three times the FLOPs a step: half the tokens, 1.5 the
  // FLOPs.
  const auto groups = group_runs({run("a", "1", "1", line(10, 8, 1)), run("b", "1", "2", line(10, 6, 3))});
  ASSERT_EQ(groups.size(), 2u);
  const GroupComparison c = compare_groups(groups[0], groups[1]);
  EXPECT_EQ(c.figure, "loss");
  EXPECT_NEAR(c.target, 8.04, 1e-9);  // mean of the last five of the worse
  EXPECT_NEAR(*c.tokens.ratio, 2, 1e-9);
  EXPECT_NEAR(*c.flops.ratio, 2.0 / 3, 1e-9);
  EXPECT_NEAR(*c.seconds.ratio, 2, 1e-9);
  EXPECT_FALSE(c.flops.error.has_value());
  const GroupComparison back = compare_groups(groups[1], groups[0]), same = compare_groups(groups[0], groups[0]);
  EXPECT_NEAR(*back.flops.ratio, 1.5, 1e-9);
  EXPECT_NEAR(*same.flops.ratio, 1, 1e-12);
}

TEST(Compare, SeedsOfOneRecipeAreOneGroupWithAnError) {
  // Two seeds a side; slopes 2 and 2.2 against 4 and 4.4.
  auto groups = group_runs({run("a1", "1", "1", line(10, 8, 1)), run("b1", "1", "2", line(10, 6, 1)),
                            run("a2", "2", "1", line(10, 7.8, 1)), run("b2", "2", "2", line(10, 5.6, 1))});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].name, "a");
  const GroupComparison c = compare_groups(groups[0], groups[1]);
  EXPECT_NEAR(*c.tokens.ratio, 2, 1e-9);  // geometric mean of 2, 2.2, 1.82 and 2
  // Both sides' log slopes lie log(1.1) apart: standard error log(1.1) / 2 each, added in squares.
  EXPECT_NEAR(*c.tokens.error, 2 * std::log(1.1) / std::sqrt(2), 1e-9);
  const std::string text = comparison_text(groups);
  EXPECT_NE(text.find("2 ± 0.13"), std::string::npos) << text;
  EXPECT_NE(comparison_markdown(groups, comparison_charts(groups)).find("| optim.lr | 1 | 2 |"), std::string::npos);
  EXPECT_THROW(group_runs({run("a", "1", "1", line(10, 8, 1)), run("a", "1", "1", line(10, 8, 1))}), Error);
}

TEST(Compare, BitsPerByteGoFirstWhereBothHaveThem) {
  auto a = run("a", "1", "1", line(10, 8, 1)), b = run("b", "1", "2", line(10, 6, 1));
  a.val_bpb = line(3, 2, 1);
  EXPECT_EQ(compare_groups(group_runs({a})[0], group_runs({b})[0]).figure, "loss");
  b.val_bpb = line(3, 1, 1);
  const GroupComparison c = compare_groups(group_runs({a})[0], group_runs({b})[0]);
  EXPECT_EQ(c.figure, "val_bpb");
  EXPECT_NEAR(c.target, 2, 1e-9);
  EXPECT_NEAR(*c.tokens.ratio, 2, 1e-9);
}

TEST(Compare, WhatIsReachedForNothingHasNoRatio) {
  // The other begins below where the control ends, at a cost of 0.
  auto a = run("a", "1", "1", line(10, 8, 1)), b = run("b", "1", "2", line(10, 6, 1));
  a.val_bpb = line(3, 2, 1);
  b.val_bpb = line(1.5, 1, 1);
  b.val_bpb.tokens[0] = b.val_bpb.flops[0] = b.val_bpb.seconds[0] = 0;
  EXPECT_FALSE(compare_groups(group_runs({a})[0], group_runs({b})[0]).tokens.ratio.has_value());
  EXPECT_NE(comparison_text(group_runs({a, b})).find("not reached"), std::string::npos);
}

}  // namespace
}  // namespace tenth
