#include "base/text.h"

#include <gtest/gtest.h>

namespace tenth {
namespace {

TEST(Text, EditDistanceCountsSwapsAsOne) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);  // Levenshtein's own example
  EXPECT_EQ(edit_distance("lr", "rl"), 1);
  EXPECT_EQ(edit_distance("ca", "abc"), 3);  // optimal string alignment, not Damerau's 2
}

TEST(Text, NearestNameIsWhatAPersonMeant) {
  const std::vector<std::string> keys = {"rl.lr", "rl.steps", "sft.steps", "pretrain.warmup_steps", "run.seed"};
  EXPECT_EQ(nearest_name("rl.step", keys), "rl.steps");
  EXPECT_EQ(nearest_name("pretrain.warmup_step", keys), "pretrain.warmup_steps");
  EXPECT_EQ(nearest_name("seed", keys), "run.seed");
  EXPECT_EQ(nearest_name("optim.warmup_steps", keys), "pretrain.warmup_steps");
  EXPECT_EQ(nearest_name("zebra", keys), "");
  EXPECT_EQ(nearest_name("x", {}), "");
  EXPECT_EQ(did_you_mean("rl.step", keys), " (did you mean rl.steps?)");
  EXPECT_EQ(did_you_mean("zebra", keys), "");
}

TEST(Text, AMegabyteOfNameIsCut) {
  const std::string name(1 << 20, 'a');
  EXPECT_EQ(nearest_name(name, {"rl.lr"}), "");
  EXPECT_EQ(edit_distance(name, ""), 128);
}

}  // namespace
}  // namespace tenth
