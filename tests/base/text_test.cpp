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
  const std::vector<std::string> keys = {"rl.lr", "rl.steps", "sft.steps", "optim.warmup_steps", "run.seed"};
  EXPECT_EQ(nearest_name("rl.step", keys), "rl.steps");
  EXPECT_EQ(nearest_name("optim.warmup_step", keys), "optim.warmup_steps");
  EXPECT_EQ(nearest_name("seed", keys), "run.seed");
  EXPECT_EQ(nearest_name("adamw.warmup_steps", keys), "optim.warmup_steps");
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

TEST(Text, ShortNumbers) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(7), "7");
  EXPECT_EQ(short_number(0.25), "0.25");
  EXPECT_EQ(short_number(999.4), "999");
  EXPECT_EQ(short_number(999.6), "1k");
  EXPECT_EQ(short_number(11234), "11.2k");
  EXPECT_EQ(short_number(-2412345), "-2.41M");
  EXPECT_EQ(short_number(671e9), "671G");
  EXPECT_EQ(short_number(1e30), "1e+12E");
  EXPECT_EQ(short_number(0.0 / 0.0), "-");
}

TEST(Text, Clock) {
  EXPECT_EQ(clock_text(0), "0:00");
  EXPECT_EQ(clock_text(59.6), "1:00");
  EXPECT_EQ(clock_text(725), "12:05");
  EXPECT_EQ(clock_text(10800), "3:00:00");
  EXPECT_EQ(clock_text(-1), "-:--");
  EXPECT_EQ(clock_text(1.0 / 0.0), "-:--");
}

TEST(Text, PrintableKeepsTextAndShowsControls) {
  EXPECT_EQ(printable("a\nb\tc é 漢 😀"), "a\nb\tc é 漢 😀");
  EXPECT_EQ(printable("\x1b[2J\r"), "\\x1b[2J\\x0d");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u009b");              // C1: a one-byte CSI
  EXPECT_EQ(printable("x\xe2\x80\xaey"), "x\\u202ey");      // right-to-left override
  EXPECT_EQ(printable("\xff\xc0\x80"), "\\xff\\xc0\\x80");  // never UTF-8; NUL in two bytes
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xe6\xbc"), "\\xe6\\xbc");           // cut short
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

}  // namespace
}  // namespace tenth
