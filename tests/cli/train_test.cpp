// tenth train from outside: recipes that are wrong, a full disk, Ctrl-C and kill -9 at any time.
#include <fstream>
#include <thread>

#include "cli/process.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

class Train : public ::testing::Test {
 protected:
  void SetUp() override { write_file(recipe_, kTinyRecipe); }
  std::vector<std::string> command(const Path& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"train", recipe_.string(), "--out", run.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static size_t records(const Path& run) {
    std::ifstream in(run / "metrics.jsonl");
    return size_t(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
  }
  static void expect_no_leftovers(const Path& run) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(run))
      EXPECT_FALSE(is_leftover(entry.path())) << entry.path();
  }
  // Starts it and sends the signal once so many records stand there.
  static Result run_and_send(int signal, size_t after, const std::vector<std::string>& arguments, const Path& run) {
    Process process(arguments);
    std::atomic<bool> over = false;
    std::thread watcher([&] {
      while (!over && records(run) < after) std::this_thread::yield();
      if (!over) process.send(signal);
    });
    Result result = process.wait();
    over = true;
    watcher.join();
    return result;
  }

  TempFolder folder_;
  Path recipe_ = folder_ / "tiny.toml";
};

TEST_F(Train, SaysWhatItDid) {
  const Path run = folder_ / "run";
  const Result result = tenth(command(run, {"--profile"}));
  const std::string out = expect_success(result);
  for (const char* part : {"linear_backward_weight", "GFLOP/s", "right answers", "before RL", "after RL", "train",
                           "/model_sft", "/report.md", "next:"})
    EXPECT_NE(out.find(part), std::string::npos) << part;
  for (const char* stage : {"train     [", "sft       [", "rl        ["})
    EXPECT_NE(result.err.find(stage), std::string::npos) << stage;
  EXPECT_NE(expect_success(tenth({"train", "--keys"})).find("clip_high"), std::string::npos);
  expect_success(tenth({"inspect", (run / "model").string()}));
}

TEST_F(Train, RecipesThatAreWrong) {
  const Path run = folder_ / "run";
  const auto set = [&](const char* assignment, const char* text) {
    SCOPED_TRACE(assignment);
    expect_refused(tenth(command(run, {"--set", assignment})), text);
  };
  set("rl.learning_rate=1", "unknown key \"rl.learning_rate\"");
  set("rl.stps=1", "did you mean rl.steps?");
  set("rl.steps=many", "rl.steps: expected an integer");
  set("rl.steps=-1", "rl.steps: expected an integer from 0");
  set("rl.steps=1.5", "rl.steps: expected an integer");
  set("rl.lr=nan", "rl.lr");
  set("rl.variant=ppo", "rl.variant");
  set("run.seed=-1", "run.seed");
  set("run.dtype=f16", "run.dtype");
  set("rl.steps", "expected section.key=value");
  set("task.name=poetry", "poetry");
  set("task.terms=3", "terms");
  set("task.name=jsonl", "");
  set("model.qk_rope_head_dim=5", "qk_rope_head_dim");
  set("model.num_experts_per_tok=9", "num_experts_per_tok");
  set("rl.max_new_tokens=64", "rl.max_new_tokens: expected at most");
  set("run.start_from=/nowhere", "/nowhere");
  write_file(recipe_, "[rl\nsteps = 3");
  expect_refused(tenth(command(run)), "tiny.toml:1");
  write_file(recipe_, "[rl]\nsteps = \"3\"\n");
  expect_refused(tenth(command(run)), "tiny.toml:2: rl.steps: expected an integer");
  write_file(recipe_, "[rl]\nstps = 3\n");
  expect_refused(tenth(command(run)), "tiny.toml:2: unknown key \"rl.stps\" (did you mean rl.steps?)");
  write_file(recipe_, std::string(100'000, '['));
  expect_refused(tenth(command(run)), "tiny.toml");
  expect_refused(tenth({"train", (folder_ / "none.toml").string()}), "cannot open");
  expect_refused(tenth({"train"}), "expected a recipe file");
  EXPECT_FALSE(std::filesystem::exists(run)) << "nothing was begun";
}

TEST_F(Train, FullDisk) {
  const Path run = folder_ / "run", whole = folder_ / "whole";
  expect_success(tenth(command(whole)));
  // Weights do not fit, records do: the end of the first stage is where it shows.
  const Result full = tenth(command(run), {.file_limit = 100'000});
  EXPECT_EQ(full.signal, 0);
  EXPECT_EQ(full.code, 1);
  EXPECT_NE(full.err.find("model.safetensors: cannot write: File too large"), std::string::npos) << full.err;
  EXPECT_TRUE(list_checkpoints(run).empty());
  expect_no_leftovers(run);
  // Later, an older state is there, and stays.
  const Result stopped = run_and_send(SIGINT, 34, command(run, {"--resume"}), run);
  EXPECT_EQ(stopped.code, 1);
  const Path saved = newest_checkpoint(run).folder;
  const std::string state = state_of(saved);
  const Result again = tenth(command(run, {"--resume"}), {.file_limit = 100'000});
  EXPECT_EQ(again.code, 1);
  EXPECT_EQ(state_of(saved), state);
  expect_success(tenth(command(run, {"--resume"})));
  EXPECT_EQ(weights_of(run / "model"), weights_of(whole / "model"));
  EXPECT_EQ(metrics_of(run), metrics_of(whole));
  // The records themselves do not fit.
  const Result tiny = tenth(command(folder_ / "tiny"), {.file_limit = 2000});
  EXPECT_EQ(tiny.code, 1);
  EXPECT_EQ(tiny.signal, 0);
  EXPECT_NE(tiny.err.find("File too large"), std::string::npos) << tiny.err;
}

TEST_F(Train, InterruptedAndKilledAnywhere) {
  const Path whole = folder_ / "whole";
  const std::vector<std::string> often = {"--set", "checkpoint.every=2"};
  expect_success(tenth(command(whole, often)));
  std::vector<std::string> resume = often;
  resume.push_back("--resume");
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    SCOPED_TRACE(strsignal(signal));
    const Path run = folder_ / std::to_string(signal);
    int stopped = 0;
    for (const size_t after : {5, 14, 31, 33, 37}) {
      const Result result =
          run_and_send(signal, after, command(run, std::filesystem::exists(run) ? resume : often), run);
      EXPECT_FALSE(result.hung);
      // The signal ends it at once where it comes before the run has begun to watch for it.
      EXPECT_TRUE(result.signal == 0 || result.signal == signal) << result.signal;
      stopped += result.signal == SIGKILL || result.err.find("tenth: interrupted after ") != std::string::npos;
      if (result.code == 0) break;
    }
    EXPECT_GE(stopped, 2);
    if (!std::filesystem::exists(run / "summary.json")) expect_success(tenth(command(run, resume)));
    EXPECT_EQ(weights_of(run / "model"), weights_of(whole / "model"));
    EXPECT_EQ(metrics_of(run), metrics_of(whole));
    expect_no_leftovers(run);
  }
}

TEST_F(Train, StopsWhereItIsTold) {
  const Path run = folder_ / "run", whole = folder_ / "whole";
  const std::string said = expect_success(tenth(command(run, {"--stop-at", "7"})));
  EXPECT_NE(said.find("stopped after train step 7; all of it is saved"), std::string::npos) << said;
  EXPECT_EQ(newest_checkpoint(run).progress.step, 7);
  EXPECT_EQ(read_json(run / "heartbeat.json")["stage"], "train");
  expect_success(tenth(command(run, {"--resume", "--stop-at", "rl:2"})));
  EXPECT_EQ(newest_checkpoint(run).progress.stage, "rl");
  expect_success(tenth(command(run, {"--resume"})));
  EXPECT_FALSE(std::filesystem::exists(run / "heartbeat.json"));
  expect_success(tenth(command(whole)));
  EXPECT_EQ(weights_of(run / "model"), weights_of(whole / "model"));
  for (const char* stop : {"many", "1.5", "eval:3", "rl:", "train:0", "31", "-1"})
    expect_refused(tenth(command(folder_ / "none", {fmt::format("--stop-at={}", stop)})), "--stop-at");
}

TEST_F(Train, OutputThatGoesNowhereIsAnError) {
  const std::string script = fmt::format("{} --help > /dev/full", TENTH_BINARY);
  const int status = std::system((script + " 2>/dev/null").c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

}  // namespace
}  // namespace tenth::testing
