// Whole runs: the same bytes for any number of threads, from a resumed run, and nothing lost of an earlier one.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/interrupt.h"
#include "run/run.h"
#include "tiny_run.h"
#include "tokenizer/chat_format.h"
#include "train/trainer_state.h"

namespace tenth::testing {
namespace {

RunSummary run_tiny(const Path& folder, const std::vector<std::string>& overrides = {}, bool resume = false) {
  return run_recipe(tiny_recipe(overrides), {.run_dir = folder, .recipe_file = "tiny.toml", .resume = resume});
}

size_t count_lines(const Path& file) {
  std::ifstream in(file);
  return size_t(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
}

// Ctrl-C as soon as the run has written so many records. False where the run was over before.
bool run_and_interrupt(const Path& folder, const std::vector<std::string>& overrides, size_t records, bool resume) {
  std::atomic<bool> over = false;
  watch_interrupts();  // a second signal would end the process: the one before, of another run, is forgotten
  std::thread user([&] {
    while (!over && count_lines(folder / "metrics.jsonl") < records) std::this_thread::yield();
    if (!over) std::raise(SIGINT);
  });
  const std::string message = error_of([&] { run_tiny(folder, overrides, resume); });
  over = true;
  user.join();
  if (message == "no error") return false;
  EXPECT_TRUE(message.starts_with("interrupted after ")) << message;
  return true;
}

TEST(Pipeline, LeavesWhatItPromises) {
  TempFolder folder;
  const RunSummary summary = run_tiny(folder / "run");
  for (const char* name : {"model/config.json", "model/model.safetensors", "model/tokenizer.json",
                           "model/tokenizer_config.json", "model/generation_config.json", "model_sft/model.safetensors",
                           "metrics.jsonl", "recipe.toml", "report.md", "summary.json"})
    EXPECT_TRUE(std::filesystem::exists(folder / "run" / name)) << name;
  EXPECT_FALSE(std::filesystem::exists(folder / "run" / "checkpoints"));
  ASSERT_EQ(summary.stages.size(), 3u);
  EXPECT_EQ(summary.stages[0].steps, 30);
  EXPECT_GE(summary.stages[0].tokens, 30 * 384);
  EXPECT_GT(summary.stages[2].tokens, 0);
  EXPECT_GE(summary.seconds, summary.stages[0].seconds + summary.stages[1].seconds + summary.stages[2].seconds);
  ASSERT_EQ(summary.comparisons.size(), 2u);
  EXPECT_TRUE(summary.comparisons[1].after);
  const Json json = read_json(folder / "run" / "summary.json");
  EXPECT_EQ(json["accuracy_before"], summary.comparisons[0].before.accuracy);
  EXPECT_EQ(json["stages"]["sft"]["steps"], 4);
  EXPECT_NE(weights_of(folder / "run" / "model"), weights_of(folder / "run" / "model_sft"));
}

TEST(Pipeline, TheSameBytesForAnyNumberOfThreads) {
  for (const char* dtype : {"f32", "bf16"}) {
    TempFolder folder;
    const std::string type = fmt::format("run.dtype={}", dtype);
    for (int threads : {1, 2, 4}) {
      const ThreadCount set(threads);
      run_tiny(folder / std::to_string(threads), {type});
    }
    for (const char* other : {"2", "4"}) {
      SCOPED_TRACE(fmt::format("{}, {} threads", dtype, other));
      EXPECT_EQ(weights_of(folder / other / "model"), weights_of(folder / "1" / "model"));
      EXPECT_EQ(metrics_of(folder / other), metrics_of(folder / "1"));
    }
  }
}

TEST(Pipeline, AnotherSeedIsAnotherModel) {
  TempFolder folder;
  run_tiny(folder / "a", {"rl.steps=0", "sft.steps=0"});
  run_tiny(folder / "b", {"rl.steps=0", "sft.steps=0", "run.seed=2"});
  EXPECT_NE(weights_of(folder / "a" / "model"), weights_of(folder / "b" / "model"));
}

class Resume : public ::testing::Test {
 protected:
  void SetUp() override {
    run_tiny(folder_ / "whole", options_);
    summary_ = read_json(folder_ / "whole" / "summary.json");
  }
  void expect_same(const Path& run, const RunSummary& resumed) const {
    EXPECT_EQ(weights_of(run / "model"), weights_of(folder_ / "whole" / "model"));
    EXPECT_EQ(weights_of(run / "model_sft"), weights_of(folder_ / "whole" / "model_sft"));
    EXPECT_EQ(metrics_of(run), metrics_of(folder_ / "whole"));
    EXPECT_EQ(read_file(run / "expert_load.json"), read_file(folder_ / "whole" / "expert_load.json"));
    EXPECT_FALSE(std::filesystem::exists(run / "checkpoints"));
    const Json json = read_json(run / "summary.json");
    EXPECT_EQ(json["evaluations"], summary_["evaluations"]);
    for (const char* name : {"train", "sft", "rl"}) {
      for (const char* field : {"steps", "tokens"})
        EXPECT_EQ(json["stages"][name][field], summary_["stages"][name][field]) << name << " " << field;
      EXPECT_GT(json["stages"][name]["seconds"], 0);
    }
    EXPECT_EQ(resumed.stages.size(), 3u);
    EXPECT_EQ(resumed.expert_loads.size(), 2u);
    EXPECT_FALSE(resumed.before.empty());
    EXPECT_FALSE(resumed.after.empty());
  }

  TempFolder folder_;
  std::vector<std::string> options_ = {"rl.kl=0.01"};
  Json summary_;
};

// Records: pretrain 0 … 30, sft 0 … 4, rl 0 … 4.
TEST_F(Resume, GivesTheSameBytesWhereverItWasInterrupted) {
  int interrupted = 0;
  for (const size_t records : {1, 12, 31, 34, 36, 38}) {
    SCOPED_TRACE(records);
    const Path run = folder_ / fmt::format("at{}", records);
    const bool stopped = run_and_interrupt(run, options_, records, false);
    interrupted += stopped;
    if (stopped) expect_same(run, run_tiny(run, options_, true));
  }
  EXPECT_GE(interrupted, 3);
}

TEST_F(Resume, AgainAndAgain) {
  const Path run = folder_ / "run";
  int interrupted = 0;
  for (const size_t records : {2, 20, 32, 35, 37}) {
    if (std::filesystem::exists(run / "summary.json")) break;  // it was over before the signal came
    interrupted += run_and_interrupt(run, options_, records, records > 2);
  }
  EXPECT_GE(interrupted, 1);
  if (!std::filesystem::exists(run / "summary.json")) expect_same(run, run_tiny(run, options_, true));
}

// A kill leaves records behind the last state, half a line, half a folder.
TEST_F(Resume, AfterAKill) {
  const Path run = folder_ / "run";
  ASSERT_TRUE(run_and_interrupt(run, options_, 33, false));
  std::ofstream(run / "metrics.jsonl", std::ios::app)
      << R"({"step":99,"stage":")" << newest_checkpoint(run).progress.stage << R"(","wall":1,"time":1,"loss":5})"
      << "\n"
      << R"({"step":99,"sta)";
  const Path half = run / "checkpoints" / "step-train-00000004.partial-77";
  std::filesystem::create_directories(half / "trainer_state");
  const RunSummary resumed = run_tiny(run, options_, true);
  expect_same(run, resumed);
  EXPECT_FALSE(std::filesystem::exists(half));
}

TEST_F(Resume, BeforeTheFirstStateBeginsAnew) {
  const Path run = folder_ / "run";
  ASSERT_TRUE(run_and_interrupt(run, options_, 3, false));
  std::filesystem::remove_all(run / "checkpoints");
  expect_same(run, run_tiny(run, options_, true));
}

TEST_F(Resume, OfWhatCannotBeIsRefused) {
  const Path whole = folder_ / "whole", run = folder_ / "run";
  EXPECT_NE(error_of([&] { run_tiny(whole, options_, true); }).find("this run is finished"), std::string::npos);
  EXPECT_NE(error_of([&] { run_tiny(folder_ / "none", options_, true); }).find("nothing to resume"), std::string::npos);
  ASSERT_TRUE(run_and_interrupt(run, options_, 33, false));
  const Path saved = newest_checkpoint(run).folder;
  const std::string before = state_of(saved);
  EXPECT_NE(error_of([&] { run_tiny(run, {"rl.kl=0.02"}, true); }).find("the recipe differs"), std::string::npos);
  EXPECT_EQ(state_of(saved), before);
  expect_same(run, run_tiny(run, options_, true));
}

TEST(Pipeline, AnEarlierRunIsReplacedOnlyByARunThatCanBegin) {
  TempFolder folder;
  const std::vector<std::string> brief = {"rl.steps=0", "sft.steps=0", "train.steps=2"};
  const Path run = folder / "run";
  run_tiny(run, brief);
  const uint32_t before = weights_of(run / "model");
  const auto refused = [&](const std::vector<std::string>& more, const char* text) {
    std::vector<std::string> options = brief;
    options.insert(options.end(), more.begin(), more.end());
    EXPECT_NE(error_of([&] { run_tiny(run, options); }).find(text), std::string::npos) << more.front();
    EXPECT_EQ(weights_of(run / "model"), before) << more.front();
    EXPECT_TRUE(std::filesystem::exists(run / "summary.json"));
  };
  refused({"model.num_experts_per_tok=5"}, "num_experts_per_tok");
  refused({"model.qk_rope_head_dim=7"}, "qk_rope_head_dim");
  refused({"task.name=\"sums\""}, "sums");
  refused({"task.terms_min=1"}, "terms_min");
  refused({"rl.max_new_tokens=60"}, "rl.max_new_tokens: expected at most");
  refused({fmt::format("run.start_from={}", (run / "model").string())}, "outside the run's own folder");
  refused({"run.start_from=/nowhere"}, "/nowhere");
  run_tiny(run, {"rl.steps=0", "sft.steps=0", "train.steps=3"});
  EXPECT_NE(weights_of(run / "model"), before);

  const Path other = folder / "other";
  std::filesystem::create_directories(other / "model");
  write_file(other / "recipe.toml", "the user's own");
  EXPECT_NE(error_of([&] { run_tiny(other); }).find("holds something that is not a run's"), std::string::npos);
  // Killed before its first record, a run may begin again; a recipe of the user's own is no such run.
  const Path begun = folder / "begun";
  std::filesystem::create_directories(begun);
  write_file(begun / "recipe.toml", kTinyRecipe);
  EXPECT_NE(error_of([&] { run_tiny(begun, brief); }).find("not a run's"), std::string::npos);
  write_file(begun / "recipe.toml", tiny_recipe().to_toml());
  write_file(begun / "metrics.jsonl.partial-7", "");
  run_tiny(begun, brief);
  EXPECT_FALSE(std::filesystem::exists(begun / "metrics.jsonl.partial-7"));
  write_file(folder / "file", "");
  EXPECT_NE(error_of([&] { run_tiny(folder / "file"); }).find("not a run's"), std::string::npos);
  EXPECT_EQ(read_file(other / "recipe.toml"), "the user's own");
  EXPECT_NE(error_of([&] { run_tiny("/proc/nowhere/run"); }).find("/proc/nowhere"), std::string::npos);
}

TEST(Pipeline, StartsFromAModel) {
  TempFolder folder;
  const Path start = save_random_model(folder / "start", tiny_recipe(), 5);
  const std::string from = fmt::format("run.start_from={}", start.string());
  run_tiny(folder / "run", {"train.steps=0", "sft.steps=0", "rl.steps=0", from});
  EXPECT_EQ(weights_of(folder / "run" / "model"), weights_of(start));
  EXPECT_EQ(read_file(folder / "run" / "model" / "tokenizer.json"), read_file(start / "tokenizer.json"));

  write_file(start / "chat_template.jinja", chat_template());
  run_tiny(folder / "run", {"train.steps=0", "sft.steps=0", "rl.steps=0", from});
  EXPECT_EQ(read_file(folder / "run" / "model" / "chat_template.jinja"), chat_template());

  std::filesystem::remove(start / "tokenizer_config.json");
  EXPECT_NE(error_of([&] { run_tiny(folder / "run2", {from}); }).find("eos_token"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "run2")) << "found before anything is begun";

  SmallVocab larger = arithmetic_vocab(64);
  larger.words.push_back("☃");
  larger.save(start);
  EXPECT_NE(
      error_of([&] { run_tiny(folder / "run2", {from}); }).find("tokenizer.json has 122 tokens, config.json only"),
      std::string::npos);
}

TEST(Pipeline, BrokenWeightsStopBeforeTheFirstStep) {
  TempFolder folder;
  const Recipe recipe = tiny_recipe();
  auto model = random_model(recipe);
  for (const Parameter& parameter : model->parameters())
    if (parameter.name == "model.norm.weight") parameter.value().data<float>()[3] = std::nanf("");
  const Path start = save_random_model(folder / "start");
  save_model(start, *model, DType::kF32);
  const std::string from = fmt::format("run.start_from={}", start.string());
  EXPECT_TRUE(error_of([&] { run_tiny(folder / "a", {from}); }).starts_with("train step 1: the loss is nan"));
  EXPECT_NE(error_of([&] {
              run_tiny(folder / "b", {from, "train.steps=0", "sft.steps=0"});
            }).find("not finite"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "a" / "model"));
}

TEST(Pipeline, ReinforcementRaisesTheShareOfRightSums) {
  TempFolder folder;
  run_tiny(folder / "run", {"task.terms_max=2", "task.max_value=18", "task.p_slip=0.3", "task.p_direct=0.5",
                            "task.p_chat=0.25", "task.p_equations=0.5", "model.hidden_size=48", "train.steps=200",
                            "train.batch_tokens=512", "optim.warmup_steps=20", "sft.steps=15", "sft.batch_tokens=512",
                            "rl.steps=30", "rl.lr=2e-3", "rl.prompts=16", "rl.eval_every=0"});
  MetricsWriter metrics(folder / "run");
  const std::vector<double> rewards = metrics.series("rl", "reward").values;
  ASSERT_EQ(rewards.size(), 30u);
  double first = 0, last = 0;
  for (size_t i = 0; i < 3; i++) first += rewards[i] / 3;
  for (size_t i = 20; i < 30; i++) last += rewards[i] / 10;
  EXPECT_GT(last, first + 0.08);
}

}  // namespace
}  // namespace tenth::testing
