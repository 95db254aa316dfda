// Checkpoints under a system that refuses, kills, and disks that forget: the newest whole one is always found.
#include "train/checkpoints.h"

#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <fstream>
#include <mutex>
#include <set>

#include "base/interrupt.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

namespace fs = std::filesystem;

// What file_fault does in these tests: counts, fails the call number `fail_at` with `error`, or kills the process
// there.
struct Faults {
  int calls = 0, fail_at = -1, error = 0;
  bool kill = false, always = false;
  std::set<Path> failed_syncs = {};
  bool synced_again = false;  // a file whose sync had failed
};
Faults faults;

int on_call(FileCall call, const Path& path) {
  const bool hit = faults.calls == faults.fail_at || (faults.always && faults.calls >= faults.fail_at);
  faults.calls++;
  if (call == FileCall::kSync && faults.failed_syncs.count(path)) faults.synced_again = true;
  if (!hit || faults.fail_at < 0) return 0;
  if (faults.kill) ::raise(SIGKILL);
  if (call == FileCall::kSync && !fs::is_directory(path)) faults.failed_syncs.insert(path);
  return faults.error;
}

struct WithFaults {
  explicit WithFaults(const Faults& wanted) {
    faults = wanted;
    file_fault = on_call;
  }
  ~WithFaults() { file_fault = nullptr; }
};

class Checkpoints : public ::testing::Test {
 protected:
  Checkpoints() {
    model_ = random_model(tiny_recipe({"model.hidden_size=8", "model.num_hidden_layers=1", "model.kv_lora_rank=4",
                                       "model.intermediate_size=8", "model.num_nextn_predict_layers=0"}));
    model_->set_training(true);
    optimizer_.emplace(model_->parameters(), OptimizerOptions{});
  }
  void save(int64_t step, CheckpointPolicy policy = {}, const std::string& stage = "train") {
    CheckpointWriter writer(run(), policy, [&](const std::string& line) { notes_.push_back(line); });
    writer.save(*model_, *optimizer_, {stage, step});
    writer.wait();
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(run() / "checkpoints"))
      all.push_back(entry.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }
  int64_t newest() const { return newest_checkpoint(run()).progress.step; }
  Path run() const { return folder_.path(); }
  float& weight() { return model_->parameters()[0].value().data<float>()[0]; }

  TempFolder folder_;
  std::unique_ptr<Transformer> model_;
  std::optional<Optimizer> optimizer_;
  std::vector<std::string> notes_;
};

using Names = std::vector<std::string>;

TEST_F(Checkpoints, TheLastStayAndSomeForGood) {
  EXPECT_FALSE(find_checkpoint(run()).newest);
  const CheckpointPolicy policy{.keep = 2, .keep_every = 4};
  for (int64_t step = 2; step <= 10; step += 2) save(step, policy);
  EXPECT_EQ(names(), (Names{"step-train-00000004", "step-train-00000008", "step-train-00000010"}));
  save(3, policy, "sft");
  EXPECT_EQ(newest_checkpoint(run()).progress.stage, "sft");
  EXPECT_EQ(names(), (Names{"step-sft-00000003", "step-train-00000004", "step-train-00000008", "step-train-00000010"}));
  save(1, {.keep = 1}, "rl");
  EXPECT_EQ(names(), (Names{"step-rl-00000001"}));
  save(4, policy, "rl");
  // The run went on from an older one: what lay behind is gone.
  save(2, policy, "rl");
  EXPECT_EQ(names(), (Names{"step-rl-00000001", "step-rl-00000002"}));
  save(8, policy, "rl");
  remove_checkpoints(run(), policy);
  EXPECT_EQ(names(), (Names{"step-rl-00000008"}));
  remove_checkpoints(run(), {});
  EXPECT_FALSE(fs::exists(run() / "checkpoints"));
}

// Whatever the time that writes take, two saves in a row are never more than `every` steps apart from end to end.
TEST_F(Checkpoints, TwoSavesLieWithinWhatAKillMayCost) {
  for (int64_t every : {1, 2, 3, 4, 7, 100}) {
    std::vector<int64_t> saves = {0};
    for (int64_t step = 1; step <= 3 * every; step++)
      if (save_due({.every = every}, step)) saves.push_back(step);
    EXPECT_EQ(saves.back(), 3 * every);
    for (size_t i = 2; i < saves.size(); i++) {
      EXPECT_TRUE(every == 1 || saves[i] - saves[i - 2] == every) << every << " at " << saves[i];
    }
  }
  EXPECT_FALSE(save_due({}, 4));
}

TEST_F(Checkpoints, AreModelFoldersWithTheStateOfTheStep) {
  save(5);
  auto back = load_model(checkpoint_folder(run(), {"train", 5}), get_backend("cpu"), DType::kF32);
  EXPECT_EQ(back->parameters()[0].value().data<float>()[0], weight());
}

// The writer is held at its first file: the step goes on, and changes what it likes.
TEST_F(Checkpoints, AreWrittenBehindTheBackOfTheSteps) {
  static std::mutex mutex;
  static std::condition_variable changed;
  static bool held = true;
  const float before = weight();
  {
    CheckpointWriter writer(run(), {}, [](const std::string&) {});
    make_folder(run() / "checkpoints");
    file_fault = [](FileCall, const Path&) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [] { return !held; });
      return 0;
    };
    writer.save(*model_, *optimizer_, {"train", 1});
    weight() = 1e9f;
    writer.check();
    EXPECT_TRUE(list_checkpoints(run()).empty());
    {
      const std::lock_guard lock(mutex);
      held = false;
    }
    changed.notify_all();
    writer.wait();
    file_fault = nullptr;
  }
  auto back = load_model(checkpoint_folder(run(), {"train", 1}), get_backend("cpu"), DType::kF32);
  EXPECT_EQ(back->parameters()[0].value().data<float>()[0], before);
}

TEST_F(Checkpoints, AnErrorOfTheWriterIsReportedAtTheNextStep) {
  save(1);
  const WithFaults set({.fail_at = 3, .error = ENOSPC, .always = true});
  CheckpointWriter writer(run(), {}, [](const std::string&) {});
  writer.save(*model_, *optimizer_, {"train", 2});
  std::string message = "no error";
  while (message == "no error") message = error_of([&] { writer.check(); });
  EXPECT_NE(message.find("No space left on device; the checkpoint of train step 2 failed"), std::string::npos)
      << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  writer.check();  // said once
  EXPECT_EQ(newest(), 1);
}

// Each call of a checkpoint in turn, and all calls from it on.
TEST_F(Checkpoints, WhateverCallIsRefusedAWholeOneStays) {
  save(1);
  int calls = 0;
  {
    const WithFaults set({});
    save(2);
    calls = faults.calls;
  }
  EXPECT_GT(calls, 30);
  for (const bool always : {false, true}) {
    for (const int error : {ENOSPC, EIO}) {
      for (int at = 0; at < calls; at++) {
        SCOPED_TRACE(fmt::format("call {} of {}, error {}, always {}", at, calls, error, always));
        fs::remove_all(checkpoint_folder(run(), {"train", 2}));
        std::string message;
        {
          const WithFaults set({.fail_at = at, .error = error, .always = always});
          message = error_of([&] { save(2); });
          EXPECT_FALSE(faults.synced_again);
          EXPECT_EQ(message == "no error", !always && !faults.failed_syncs.empty())
              << "a file is written again where one sync failed; all else is an error: " << message;
        }
        const int64_t found = newest();  // fails where the newest is not whole
        EXPECT_TRUE(found == 2 || message.find(std::strerror(error)) != std::string::npos) << message;
        EXPECT_TRUE(fs::exists(checkpoint_folder(run(), {"train", 1})));
        for (const std::string& name : names()) EXPECT_FALSE(is_leftover(name)) << name;
      }
    }
  }
}

TEST_F(Checkpoints, KilledAtEveryCall) {
  save(1);
  save(2);
  for (int at = 0;; at++) {
    SCOPED_TRACE(at);
    const pid_t child = ::fork();
    if (child == 0) {
      faults = {.fail_at = at, .kill = true};
      file_fault = on_call;
      ::_exit(error_of([&] { save(3); }) == "no error" ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    const int64_t found = newest();
    EXPECT_TRUE(found == 2 || found == 3) << found;
    if (WIFEXITED(status)) {
      EXPECT_EQ(found, 3);
      EXPECT_GT(at, 30);
      return;
    }
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    remove_leftovers(run());
    for (const std::string& name : names()) EXPECT_FALSE(is_leftover(name)) << name;
    if (found == 3) {
      fs::remove_all(checkpoint_folder(run(), {"train", 3}));
      if (!fs::exists(checkpoint_folder(run(), {"train", 1}))) save(1), save(2);
    }
  }
}

// One random bit of every 97th byte, and the ends: the damage is named, and the one before is used.
TEST_F(Checkpoints, DamagedOnesAreNamedAndSkipped) {
  save(1);
  save(2);
  const Path folder = checkpoint_folder(run(), {"train", 2});
  Rng rng(1);
  for (const char* name : {"model.safetensors", "trainer_state/optimizer.safetensors", "trainer_state/state.json",
                           "config.json", "generation_config.json", "manifest.json"}) {
    const std::string good = read_file(folder / name);
    for (size_t byte = 0; byte < good.size();
         byte += byte + 1 == good.size() ? 1 : std::min<size_t>(97, good.size() - byte - 1)) {
      std::string bad = good;
      bad[byte] = char(bad[byte] ^ (1 << rng.below(8)));
      std::ofstream(folder / name, std::ios::binary) << bad;
      const FoundCheckpoint found = find_checkpoint(run());
      ASSERT_TRUE(found.newest);
      ASSERT_EQ(found.newest->progress.step, 1);
      ASSERT_EQ(found.skipped.size(), 1u);
      ASSERT_TRUE(found.skipped[0].starts_with((folder / name).string())) << found.skipped[0];
    }
    std::ofstream(folder / name, std::ios::binary) << good;
  }
  EXPECT_EQ(newest(), 2);
  fs::rename(folder, checkpoint_folder(run(), {"train", 7}));
  EXPECT_NE(find_checkpoint(run()).skipped.at(0).find("it was renamed"), std::string::npos);
  fs::remove(checkpoint_folder(run(), {"train", 1}) / "config.json");
  EXPECT_NE(error_of([&] { find_checkpoint(run()); }).find("none of the 2 checkpoints is whole"), std::string::npos);
}

TEST_F(Checkpoints, RoomIsLookedForFirst) {
  EXPECT_FALSE(space_warning("run", 200, 100));
  EXPECT_NE(space_warning("run", 199'000'000, 100'000'000)->find("199.0 MB are free"), std::string::npos);
  EXPECT_NE(error_of([] { space_warning("run", 99, 100); }).find("run: no room for a checkpoint"), std::string::npos);
}

TEST_F(Checkpoints, OnADiskThatIsFull) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small disk";
  const Path disk = folder_ / "disk";
  fs::create_directories(disk);
  const size_t bytes = copy_state(*model_, *optimizer_, {"train", 1}).bytes();
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, fmt::format("size={}", 4 * bytes).c_str()) != 0)
    GTEST_SKIP() << "cannot mount";
  std::string refused;
  {
    CheckpointWriter writer(disk, {}, [&](const std::string& line) { notes_.push_back(line); });
    const auto save_on_disk = [&](int64_t step) {
      writer.save(*model_, *optimizer_, {"train", step});
      writer.wait();
    };
    const auto leave_free = [&](const char* name, size_t left) {
      std::ofstream(disk / name) << std::string(size_t(free_bytes(disk)) - left, 'x');
    };
    save_on_disk(1);
    EXPECT_TRUE(notes_.empty());
    leave_free("ballast", bytes * 3 / 2);
    save_on_disk(2);
    EXPECT_EQ(notes_.size(), 1u) << "less than twice the room";
    leave_free("ballast2", bytes / 2);
    refused = error_of([&] { save_on_disk(3); });
  }
  EXPECT_EQ(newest_checkpoint(disk).progress.step, 2);
  EXPECT_NE(refused.find("no room for a checkpoint"), std::string::npos) << refused;
  // The room is there when it is looked for, and gone a moment later.
  fs::remove(disk / "ballast2");
  fs::remove(disk / "ballast");
  file_fault = [](FileCall call, const Path& path) {
    if (call == FileCall::kCreate && path.string().find("model.safetensors") != std::string::npos) {
      std::ofstream ballast(path.parent_path().parent_path().parent_path() / "ballast");
      const std::string piece(4096, 'x');
      while (ballast.write(piece.data(), 4096).flush()) continue;
    }
    return 0;
  };
  refused = error_of([&] {
    CheckpointWriter writer(disk, {}, [](const std::string&) {});
    writer.save(*model_, *optimizer_, {"train", 4});
    writer.wait();
  });
  file_fault = nullptr;
  EXPECT_NE(refused.find("No space left on device"), std::string::npos) << refused;
  EXPECT_EQ(newest_checkpoint(disk).progress.step, 2);
  ::umount(disk.c_str());
}

}  // namespace
}  // namespace tenth::testing
