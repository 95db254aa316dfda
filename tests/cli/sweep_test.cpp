// tenth sweep and tenth compare from outside.
#include "base/json.h"
#include "cli/process.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

class Sweep : public ::testing::Test {
 protected:
  void SetUp() override { write_file(recipe_, kTinyRecipe); }
  Result sweep(const std::vector<std::string>& sets) const {
    std::vector<std::string> arguments = {"sweep", recipe_.string(), "--out", out_.string()};
    for (const char* set : {"rl.steps=0", "sft.steps=0", "train.steps=6"})
      arguments.insert(arguments.end(), {"--set", set});
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    return tenth(arguments);
  }
  TempFolder folder_;
  Path recipe_ = folder_ / "tiny.toml", out_ = folder_ / "sweep";
};

TEST_F(Sweep, RunsEveryCombinationOnceAndKeepsThem) {
  const std::string out = expect_success(sweep({"optim.lr=1e-3,0.02", "run.seed=1,2"}));
  EXPECT_NE(out.find("best by"), std::string::npos) << out;
  const Json json = read_json(out_ / "sweep.json");
  ASSERT_EQ(json["runs"].size(), 4u);
  EXPECT_EQ(json["runs"][1]["folder"], "lr=0.001_seed=2");
  EXPECT_EQ(json["runs"][2]["settings"]["optim.lr"], "0.02");
  for (const Json& run : json["runs"]) {
    EXPECT_TRUE(run["error"].is_null());
    EXPECT_GT(run["final_loss"].get<double>(), 0);
    EXPECT_GT(run["tokens_per_second"].get<double>(), 0);
  }
  // A second call runs nothing: a finished one is kept, and one that was cut is gone on with.
  const std::string before = read_file(out_ / "lr=0.001_seed=2/metrics.jsonl");
  std::filesystem::remove(out_ / "lr=0.02_seed=1/summary.json");
  expect_success(sweep({"optim.lr=0.001,0.02", "run.seed=1,2"}));
  EXPECT_EQ(read_file(out_ / "lr=0.001_seed=2/metrics.jsonl"), before);
  EXPECT_TRUE(std::filesystem::exists(out_ / "lr=0.02_seed=1/summary.json"));
  EXPECT_EQ(read_json(out_ / "sweep.json")["runs"][2]["final_loss"], json["runs"][2]["final_loss"]);
  // Other settings must not pass for these.
  expect_refused(sweep({"optim.lr=0.001,0.02", "run.seed=1,2", "optim.clip=2"}), "had other settings");
  // Two groups of two seeds.
  std::vector<std::string> arguments = {"compare", "--out", (folder_ / "compare").string()};
  for (const Json& run : json["runs"]) arguments.push_back((out_ / run["folder"].get<std::string>()).string());
  const std::string compared = expect_success(tenth(arguments));
  EXPECT_NE(compared.find("lr=0.001 / lr=0.02 "), std::string::npos) << compared;
  EXPECT_NE(compared.find("±"), std::string::npos) << compared;
  for (const char* file : {"compare.md", "loss_tokens.svg", "loss_flops.svg", "loss_seconds.svg"})
    EXPECT_TRUE(std::filesystem::exists(folder_ / "compare" / file)) << file;
}

TEST_F(Sweep, ARunThatFailsIsARow) {
  // The tiny model has four experts.
  const std::string out = expect_success(sweep({"model.num_experts_per_tok=2,9"}));
  EXPECT_NE(out.find("num_experts_per_tok"), std::string::npos);
  const Json json = read_json(out_ / "sweep.json");
  EXPECT_TRUE(json["runs"][0]["error"].is_null());
  EXPECT_NE(json["runs"][1]["error"].get<std::string>().find("num_experts_per_tok"), std::string::npos);
  EXPECT_TRUE(json["runs"][1]["final_loss"].is_null());
}

TEST_F(Sweep, WhatIsWrongIsSaidBeforeAnythingRuns) {
  expect_refused(sweep({"optim.lr=1e-3,many"}), "optim.lr: expected a number");
  expect_refused(sweep({"optim.lr=1e-3,0.001"}), "is a value listed twice?");
  expect_refused(sweep({"optim.lr=1e-3,"}), "optim.lr");
  expect_refused(sweep({"optim.rl=1,2"}), "unknown key");
  expect_refused(sweep({"optim.lr=1,2", "optim.lr=3"}), "given twice");
  expect_refused(sweep({"optim.lr"}), "expected section.key=value");
  EXPECT_FALSE(std::filesystem::exists(out_));
  expect_refused(tenth({"sweep", recipe_.string()}), "--set is required", 2);
}

TEST_F(Sweep, InspectPredictsTheMemoryOfARecipe) {
  const std::string recipe = recipe_.string();
  const std::string out = expect_success(tenth({"inspect", "--memory", recipe, "--dtype", "bf16"}));
  for (const char* part : {"384 tokens a batch", "bf16, Muon", "compute copies", "mixture", "multi-token", "peak"})
    EXPECT_NE(out.find(part), std::string::npos) << out;
  expect_refused(tenth({"inspect", recipe, "--dtype", "bf16"}), "--memory", 2);
  expect_refused(tenth({"inspect", "--memory", recipe, "--optimizer", "sgd"}), "sgd", 2);
  expect_refused(tenth({"inspect", "--memory", (folder_ / "none.toml").string()}), "none.toml");
}

TEST_F(Sweep, CompareNamesWhatIsMissingOrBroken) {
  const Path run = folder_ / "run";
  const auto compare = [&] { return tenth({"compare", run.string(), "--out", (folder_ / "compare").string()}); };
  expect_refused(compare(), "run/recipe.toml");
  std::filesystem::create_directories(run);
  write_file(run / "recipe.toml", kTinyRecipe);
  expect_refused(compare(), "run/metrics.jsonl");
  write_file(run / "metrics.jsonl", "");
  expect_refused(compare(), "expected steps of train or sft with a loss");
  write_file(run / "metrics.jsonl", "{\"step\":1}\n");
  expect_refused(compare(), "metrics.jsonl:1");
  write_file(run / "metrics.jsonl",
             "{\"step\":1,\"stage\":\"train\",\"wall\":1,\"time\":1,\"loss\":2,\"tokens\":5}\n{\"st");
  expect_success(compare());  // one run, cut within a line
}

}  // namespace
}  // namespace tenth::testing
