#include "train/recipe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/error.h"

namespace tenth {
namespace {

std::string refusal(std::string_view text, const std::vector<std::string>& overrides = {}) {
  try {
    Recipe::parse(text, "r.toml", overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInput);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "accepted";
}

TEST(Recipe, GivesWhatStandsInItAndDefaultsElsewhere) {
  const Recipe recipe = Recipe::parse("[rl]\nvariant = \"gspo\"\nlr = 1\nsteps = 7\n[run]\nseed = 5\n", "r.toml");
  EXPECT_EQ(recipe.text("rl.variant"), "gspo");
  EXPECT_EQ(recipe.real("rl.lr"), 1.0);  // TOML's integer 1 for a real
  EXPECT_EQ(recipe.integer("rl.steps"), 7);
  EXPECT_EQ(recipe.real("rl.steps"), 7.0);
  EXPECT_EQ(recipe.where("rl.steps"), "r.toml:4");
  EXPECT_EQ(recipe.where("rl.samples"), "default");
  EXPECT_EQ(recipe.text("task.name"), "chain");
  EXPECT_TRUE(recipe.flag("model.norm_topk_prob"));
}

TEST(Recipe, OverridesWinTheLastOneMost) {
  const Recipe recipe =
      Recipe::parse("[rl]\nlr = 0.5\n", "r.toml",
                    {"rl.lr=1e-3", "rl.lr=2e-3", "rl.variant=dapo", "rl.routing_replay=false", "run.seed=+9"});
  EXPECT_EQ(recipe.real("rl.lr"), 2e-3);
  EXPECT_EQ(recipe.where("rl.lr"), "--set");
  EXPECT_EQ(recipe.text("rl.variant"), "dapo");
  EXPECT_FALSE(recipe.flag("rl.routing_replay"));
  EXPECT_EQ(recipe.integer("run.seed"), 9);
}

TEST(Recipe, TaskTakesNumbersUnderAnyName) {
  const Recipe recipe =
      Recipe::parse("[task]\nname=\"countdown\"\nterms_max = 10\nslip = 0.05\n", "r.toml", {"task.slip=0.1"});
  EXPECT_EQ(recipe.task_numbers(), (std::map<std::string, double>{{"slip", 0.1}, {"terms_max", 10}}));
  EXPECT_EQ(refusal("[task]\nslip = \"a\"\n"), "r.toml:2: task.slip: expected a number for the task, got \"a\"");
  EXPECT_EQ(refusal("[task]\nslip = nan\n"), "r.toml:2: task.slip: expected a number for the task, got nan");
}

TEST(Recipe, UnknownKeysAreNamedWithTheNearest) {
  EXPECT_EQ(refusal("[rl]\nsteps = 3\nvarient = \"grpo\"\n"),
            "r.toml:3: unknown key \"rl.varient\" (did you mean rl.variant?)");
  EXPECT_EQ(refusal("", {"model.hidden=3"}), "--set: unknown key \"model.hidden\"; tenth train --keys lists all keys");
  EXPECT_EQ(refusal("[optimizer]\nadam_lr = 3\n"),
            "r.toml:2: unknown key \"optimizer.adam_lr\" (did you mean optim.adam_lr?)");
  EXPECT_EQ(refusal("seed = 3\n"),
            "r.toml:1: \"seed\" stands outside a section; expected it under one, like [run] (did you mean run.seed?)");
  EXPECT_EQ(refusal("[rl.lr]\npeak = 3\n"),
            "r.toml:1: rl.lr: expected a number from 0 to 10, got a table, a date or a mixed list");
}

TEST(Recipe, WrongTypesAndRangesSayWhatIsExpected) {
  EXPECT_EQ(refusal("[rl]\nvariant = \"ppo\"\n"),
            "r.toml:2: rl.variant: expected one of grpo, dr_grpo, dapo, gspo, got \"ppo\"");
  EXPECT_EQ(refusal("[rl]\n\nsamples = 8.5\n"),
            "r.toml:3: rl.samples: expected an integer from 2 to 4096 (answers), got 8.5");
  EXPECT_EQ(refusal("[rl]\nsamples = 0\n"),
            "r.toml:2: rl.samples: expected an integer from 2 to 4096 (answers), got 0");
  EXPECT_EQ(refusal("[model]\nhidden_size = 1099511627776\n"),
            "r.toml:2: model.hidden_size: expected an integer from 1 to 65536, got 1099511627776");
  EXPECT_EQ(refusal("[rl]\nlr = nan\n"), "r.toml:2: rl.lr: expected a number from 0 to 10, got nan");
  EXPECT_EQ(refusal("[rl]\nlr = true\n"), "r.toml:2: rl.lr: expected a number from 0 to 10, got true");
  EXPECT_EQ(refusal("[rl]\nlr = 2020-01-01\n"),
            "r.toml:2: rl.lr: expected a number from 0 to 10, got a table, a date or a mixed list");
  EXPECT_EQ(refusal("", {"rl.lr=fast"}), "--set: rl.lr: expected a number from 0 to 10, got \"fast\"");
  EXPECT_EQ(refusal("", {"rl.steps=1e3"}),
            "--set: rl.steps: expected an integer from 0 to 100000000 (steps), got \"1e3\"");
  EXPECT_EQ(refusal("", {"rl.lr"}), "--set: expected section.key=value, like rl.steps=20, got \"rl.lr\"");
  EXPECT_EQ(refusal("", {"rl.routing_replay=1"}), "--set: rl.routing_replay: expected true or false, got \"1\"");
}

TEST(Recipe, BrokenFilesAreOneLineWithAPlace) {
  EXPECT_EQ(refusal("[rl]\nsteps = \n").rfind("r.toml:2: not valid TOML: ", 0), 0u) << refusal("[rl]\nsteps = \n");
  EXPECT_EQ(refusal("[rl]\nsteps = 1\nsteps = 2\n").rfind("r.toml:3: not valid TOML: ", 0), 0u);
  EXPECT_EQ(refusal("\xff\xfe = \x1b[2J\n").rfind("r.toml:1: not valid TOML: ", 0), 0u);
  EXPECT_EQ(refusal("\n[=task]\n").rfind("r.toml:2: not valid TOML: ", 0), 0u);
  EXPECT_EQ(refusal("[rl]\né = 3\n"), "r.toml:2: not valid TOML: expected only ASCII outside of strings and comments");
  EXPECT_EQ(refusal("# é\n[task]\nfile = \"\"\"é\"\"\"\"\" # ü\nname = 'é\\' é"),
            "r.toml:4: not valid TOML: expected only ASCII outside of strings and comments");
  EXPECT_EQ(refusal("# é\n[task]\nfile = \"é \\\" é\""), "accepted");
  EXPECT_THROW(Recipe::load("/nonexistent/r.toml"), Error);
}

TEST(Recipe, SizeAndDepthAreBounded) {
  EXPECT_NE(refusal(std::string(65537, '#')).find("at most 65536 bytes, got 65537"), std::string::npos);
  std::string deep = "[a";
  for (int i = 0; i < 2000; i++) deep += ".a";
  EXPECT_NE(refusal(deep + "]\n").find("unknown key \"a.a\""), std::string::npos);
  EXPECT_EQ(refusal(deep + ".a]\n"), "r.toml: expected a recipe with at most 2000 dots, got 2001");
  EXPECT_NE(refusal("[rl]\nlr = " + std::string(60000, '[')).find("not valid TOML"), std::string::npos);
}

TEST(Recipe, EveryPrefixOfARecipeIsReadOrRefused) {
  const std::string text = "[task]\nname = \"chain\"\nslip = 0.5\n[rl]\nlr = 1e-3 # peak\nvariant = \"gspo\"\n";
  for (size_t n = 0; n < text.size(); n++) refusal(text.substr(0, n));
}

TEST(Recipe, WrittenOutAndReadBackIsTheSame) {
  const Recipe recipe = Recipe::parse("[rl]\nlr = 0.1\n[task]\nname = \"a \\\"b\\\\ \\n\"\n\"odd key\" = 0.3\n",
                                      "r.toml", {"rl.variant=dapo"});
  const Recipe again = Recipe::parse(recipe.to_toml(), "written.toml");
  EXPECT_EQ(again.settings(), recipe.settings());
  EXPECT_EQ(again.text("task.name"), "a \"b\\ \n");
  EXPECT_EQ(again.task_numbers().at("odd key"), 0.3);
}

TEST(Recipe, ListsOfStrings) {
  const std::vector<RecipeKey> keys = {{"a.files", std::vector<std::string>{}, "", 0, 0, {}, "text files"}};
  EXPECT_EQ(Recipe::parse("[a]\nfiles = [\"x\", \"y\"]\n", "r", {}, keys).list("a.files"),
            (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(Recipe::parse("", "r", {"a.files=x,y"}, keys).list("a.files"), (std::vector<std::string>{"x", "y"}));
  EXPECT_THROW(Recipe::parse("[a]\nfiles = [1]\n", "r", {}, keys), Error);
}

TEST(Recipe, TableIsConsistent) {
  std::set<std::string> names;
  for (const RecipeKey& key : recipe_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name << " stands twice";
    EXPECT_FALSE(key.meaning.empty()) << key.name;
  }
  // Every default is allowed: what is written out reads back.
  EXPECT_NO_THROW(Recipe::parse(Recipe::parse("", "r").to_toml(), "defaults"));
  EXPECT_NE(describe_keys().find("\n[rl]\n"), std::string::npos);
}

TEST(Recipe, GettersRefuseUndeclaredNamesAsBugs) {
  const Recipe recipe = Recipe::parse("", "r");
  EXPECT_THROW(recipe.real("rl.nothing"), Error);
  EXPECT_THROW(recipe.integer("rl.lr"), Error);
}

}  // namespace
}  // namespace tenth
