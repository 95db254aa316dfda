#include "rl/advantage.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "shared.h"

namespace tenth {
namespace {

void expect_near(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); i++) EXPECT_NEAR(got[i], want[i], tolerance) << "row " << i;
}

TEST(Advantage, EqualsTheGoldenValues) {
  TENTH_NEEDS_SHARED();
  const Json golden = read_json(shared_folder() / "golden/rl/grpo_losses.json");
  const std::vector<double> rewards = golden["inputs"]["rewards"];
  const int size = golden["group_size"];
  const double tolerance = golden["tolerance"];
  const auto got = [&](AdvantageScale scale) { return group_advantages(rewards, size, scale); };
  expect_near(got(AdvantageScale::kSampleStd).values, golden["advantages_scaled"], tolerance);
  expect_near(got(AdvantageScale::kPopulationStd).values, golden["advantages_population"], tolerance);
  expect_near(got(AdvantageScale::kNone).values, golden["advantages_centred"], tolerance);
  EXPECT_EQ(got(AdvantageScale::kNone).zero_variance, (std::vector<bool>{false, false, true}));
}

TEST(Advantage, NumericTests) {  // reference/rl.md section 8
  const std::vector<double> rewards = {1, 0, 0, 1};
  expect_near(group_advantages(rewards, 4, AdvantageScale::kNone).values, {.5, -.5, -.5, .5}, 1e-15);
  expect_near(group_advantages(rewards, 4, AdvantageScale::kPopulationStd, 0).values, {1, -1, -1, 1}, 1e-15);
  const double sample = 0.5 / std::sqrt(1.0 / 3);  // .866
  expect_near(group_advantages(rewards, 4, AdvantageScale::kSampleStd, 0).values, {sample, -sample, -sample, sample},
              1e-15);
}

TEST(Advantage, EqualRewardsAreFlaggedAndExactlyZero) {
  const std::vector<double> rewards = {.1, .1, .1, 1, 0, 0};
  for (const auto scale : {AdvantageScale::kNone, AdvantageScale::kSampleStd, AdvantageScale::kPopulationStd}) {
    const Advantages got = group_advantages(rewards, 3, scale, 0);
    EXPECT_EQ(got.zero_variance, (std::vector<bool>{true, false}));
    for (int i = 0; i < 3; i++) EXPECT_EQ(got.values[i], 0);
    EXPECT_NEAR(got.values[3] + got.values[4] + got.values[5], 0, 1e-15);
  }
  EXPECT_EQ(group_advantages(std::vector<double>{1, 0}, 1, AdvantageScale::kSampleStd).zero_variance,
            (std::vector<bool>{true, true}));
}

TEST(Advantage, RefusesWhatIsNoGroup) {
  EXPECT_THROW(group_advantages(std::vector<double>{1, 0, 1}, 2, AdvantageScale::kNone), Error);
  EXPECT_THROW(group_advantages(std::vector<double>{1}, 0, AdvantageScale::kNone), Error);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(group_advantages(std::vector<double>{1, nan}, 2, AdvantageScale::kNone), Error);
}

TEST(Advantage, OverlongPunishment) {  // reference/rl.md section 8
  EXPECT_EQ(overlong_punishment(1, 4096, 512), 0);
  EXPECT_EQ(overlong_punishment(3584, 4096, 512), 0);
  EXPECT_EQ(overlong_punishment(3840, 4096, 512), -0.5);
  EXPECT_EQ(overlong_punishment(4096, 4096, 512), -1);
  EXPECT_EQ(overlong_punishment(4097, 4096, 512), -1);
  EXPECT_THROW(overlong_punishment(1, 10, 0), Error);
  EXPECT_THROW(overlong_punishment(1, 10, 11), Error);
}

}  // namespace
}  // namespace tenth
