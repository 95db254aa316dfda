// Stopped at random steps of every stage and resumed, at 1, 2 and 4 threads: the SHA-256 of weights, optimizer and
// state are those of the run that was left alone. TENTH_STOPS asks for more stops than the few of every day.
#include <cstdlib>
#include <fstream>

#include "base/interrupt.h"
#include "run/run.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

const std::vector<std::pair<std::string, int64_t>> kStageSteps = {{"train", 12}, {"sft", 4}, {"rl", 4}};
const std::vector<std::string> kOptions = {"train.steps=12", "rl.kl=0.01", "rl.updates=2", "run.eval_problems=4"};

// Runs to the stop and returns the state there.
std::string run_to(const Path& run, const Progress& stop, bool resume, const std::vector<std::string>& more = {}) {
  std::vector<std::string> options = kOptions;
  options.insert(options.end(), more.begin(), more.end());
  const std::string message = error_of([&] {
    run_recipe(tiny_recipe(options), {.run_dir = run, .recipe_file = "tiny.toml", .resume = resume, .stop_at = stop});
  });
  EXPECT_TRUE(message.starts_with(fmt::format("stopped after {} step {};", stop.stage, stop.step))) << message;
  const Checkpoint newest = newest_checkpoint(run);
  EXPECT_EQ(newest.progress.stage, stop.stage);
  EXPECT_EQ(newest.progress.step, stop.step);
  return state_of(newest.folder);
}

Progress random_stop(Rng& rng) {
  int64_t at = int64_t(rng.below(12 + 4 + 3)) + 1;
  for (const auto& [stage, steps] : kStageSteps) {
    if (at <= steps) return {stage, at};
    at -= steps;
  }
  return {"rl", 1};
}

TEST(ExactResume, AtRandomStops) {
  TempFolder folder;
  const Progress end{"rl", 4};
  const std::string expected = run_to(folder / "whole", end, false);
  const char* wanted = std::getenv("TENTH_STOPS");
  const int stops = wanted ? std::atoi(wanted) : 6;
  Rng rng(2026);
  for (int i = 0; i < stops; i++) {
    Progress a = random_stop(rng), b = random_stop(rng);
    if (b < a) std::swap(a, b);
    SCOPED_TRACE(fmt::format("{} step {}, then {} step {}", a.stage, a.step, b.stage, b.step));
    const int threads[] = {1, 2, 4};
    const Path run = folder / std::to_string(i);
    {
      const ThreadCount set(threads[i % 3]);
      run_to(run, a, false);
    }
    if (a < b) {
      const ThreadCount set(threads[(i + 1) % 3]);
      run_to(run, b, true);
    }
    const ThreadCount set(threads[(i + 2) % 3]);
    EXPECT_EQ(run_to(run, end, true), expected);
    EXPECT_EQ(metrics_of(run), metrics_of(folder / "whole"));
    std::filesystem::remove_all(run);
  }
}

// The newest state is torn: it is named, and the one before leads to the same bits.
TEST(ExactResume, FromTheOneBeforeADamagedOne) {
  TempFolder folder;
  const std::vector<std::string> often = {"checkpoint.every=4"};
  const Progress end{"train", 12};
  const std::string expected = run_to(folder / "whole", end, false, often);
  const Path run = folder / "run";
  run_to(run, {"train", 10}, false, often);
  const Path file = checkpoint_folder(run, {"train", 10}) / "model.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_to(run, end, true, often), expected);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("skipped: " + file.string() + ": tensor model.norm.weight: cut off"), std::string::npos) << said;
  EXPECT_NE(said.find("going on from " + checkpoint_folder(run, {"train", 8}).string()), std::string::npos) << said;
  EXPECT_EQ(metrics_of(run), metrics_of(folder / "whole"));
}

TEST(ExactResume, KeysThatTouchNothingMayChange) {
  TempFolder folder;
  const std::string expected = run_to(folder / "whole", {"train", 9}, false);
  run_to(folder / "run", {"train", 5}, false);
  EXPECT_EQ(run_to(folder / "run", {"train", 9}, true,
                   {"checkpoint.every=2", "checkpoint.keep=3", "train.spike_factor=1e6", "run.threads=1"}),
            expected);
  EXPECT_EQ(list_checkpoints(folder / "run").size(), 3u);
  const auto refused = [&](const std::vector<std::string>& options, Progress stop) {
    std::vector<std::string> all = kOptions;
    all.insert(all.end(), options.begin(), options.end());
    return error_of([&] {
      run_recipe(tiny_recipe(all),
                 {.run_dir = folder / "run", .recipe_file = "tiny.toml", .resume = true, .stop_at = stop});
    });
  };
  EXPECT_NE(refused({"optim.lr=1"}, {"train", 11}).find("began with (optim.lr)"), std::string::npos);
  EXPECT_NE(refused({"task.p_direct=0.5"}, {"train", 11}).find("the recipe differs"), std::string::npos)
      << refused({"task.p_direct=0.5"}, {"train", 11});
  EXPECT_NE(refused({"train.skip_steps=x"}, {"train", 11}).find("train.skip_steps: expected steps"), std::string::npos);
  EXPECT_NE(refused({}, {"train", 9}).find("--stop-at: expected a step behind train step 9"), std::string::npos);
  EXPECT_NE(refused({}, {"train", 13}).find("--stop-at: expected 1 to 12"), std::string::npos);
  EXPECT_NE(refused({}, {"sft", 0}).find("--stop-at: expected 1 to 4"), std::string::npos);
}

}  // namespace
}  // namespace tenth::testing
