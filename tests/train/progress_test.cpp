#include "train/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace tenth {
namespace {

ProgressState full_state() {
  return {.stage = "train",
          .step = 400,
          .total = 800,
          .loss = 1.23456,
          .accuracy = 0.4567,
          .tokens_per_second = 11234,
          .peak_share = 0.214,
          .elapsed = 41,
          .left = 48};
}

TEST(Progress, ShowsWhatItIsGiven) {
  EXPECT_EQ(format_progress(full_state()),
            "train     [======>      ]  400/800  loss 1.235  acc 45.7%  11.2k tok/s  21% of peak  0:41  left 0:48");
  ProgressState rl{.stage = "rl", .step = 3, .total = 50, .reward = 0.25};
  EXPECT_EQ(format_progress(rl), "rl        [=>                      ]   3/50  reward 0.250  0:00");
  rl.total = 0;
  EXPECT_EQ(format_progress(rl), "rl        3/?  reward 0.250  0:00");
}

TEST(Progress, NeverWiderThanAsked) {
  ProgressState state = full_state();
  state.step = state.total = 100'000'000;
  state.loss = 1.234e-300;
  state.left = 1e9;
  for (int columns = 40; columns <= 120; columns++) {
    const std::string line = format_progress(state, columns);
    EXPECT_LE(int(line.size()), columns) << line;
    EXPECT_NE(line.find("100000000/100000000"), std::string::npos);
  }
  state.stage = std::string(500, 'x');
  EXPECT_LE(format_progress(state).size(), 100u);
}

TEST(Progress, DropsTheLeastImportantFirst) {
  EXPECT_EQ(format_progress(full_state(), 80),
            "train     [===>  ]  400/800  loss 1.235  acc 45.7%  11.2k tok/s  0:41  left 0:48");
  EXPECT_EQ(format_progress(full_state(), 40), "train     400/800  loss 1.235  left 0:48");
}

TEST(Progress, NumbersThatAreNoneDoNoHarm) {
  ProgressState state = full_state();
  state.loss = state.accuracy = state.tokens_per_second = state.left = std::nan("");
  const std::string line = format_progress(state);
  EXPECT_NE(line.find("loss nan"), std::string::npos) << line;
  EXPECT_NE(line.find("left -:--"), std::string::npos) << line;
}

TEST(RateAverage, FollowsASlowdownWithinItsHorizon) {
  RateAverage rate(10);
  EXPECT_FALSE(rate.per_second());
  for (int i = 0; i < 100; i++) rate.add(1, 0.5);
  EXPECT_NEAR(*rate.per_second(), 2.0, 1e-9);
  for (int i = 0; i < 30; i++) rate.add(1, 2);  // 60 s at half a step a second: six horizons
  EXPECT_NEAR(*rate.per_second(), 0.5, 0.01);
  rate.add(1, -1);
  rate.add(INFINITY, 1);
  EXPECT_NEAR(*rate.per_second(), 0.5, 0.01);
}

std::string written_by(const std::function<void(std::FILE*)>& body) {
  std::FILE* file = std::tmpfile();
  body(file);
  std::string text(size_t(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  return text;
}

TEST(Progress, AFileGetsTheFirstAndTheLastStateAndNoEscapes) {
  const std::string text = written_by([](std::FILE* file) {
    ProgressLine line("sft", 3, 0, 0, file);
    for (int step = 1; step <= 3; step++) line.update({.step = step, .loss = 1.0 / step});
    line.note("held-out accuracy 12.0%");
    line.finish();
    line.finish();
  });
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("1/3  loss 1"), std::string::npos) << text;
  EXPECT_NE(text.find("\nheld-out accuracy 12.0%\n"), std::string::npos) << text;
  EXPECT_NE(text.find("3/3  loss 0.3333"), std::string::npos) << text;
}

}  // namespace
}  // namespace tenth
