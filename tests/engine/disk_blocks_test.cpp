// Files of blocks: whole or not there, whatever happens to them and to those who write them.
#include "engine/disk_blocks.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <numeric>

#include "base/error.h"

namespace tenth::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPayload = 96, kIds = 64, kRoomy = 1 << 20;
constexpr Hash128 kModel{17, 4};

class DiskBlocksTest : public ::testing::Test {
 protected:
  DiskBlocksTest() : folder_(fs::temp_directory_path() / fmt::format("tenth-disk-blocks-{}", ::getpid())) {
    fs::remove_all(folder_);
  }
  ~DiskBlocksTest() override {
    file_fault = nullptr;
    fs::remove_all(folder_);
  }

  // Text number n: so many blocks of ids.
  static std::vector<int32_t> text(int n, int blocks = 1) {
    std::vector<int32_t> ids(size_t(blocks * kIds));
    std::iota(ids.begin(), ids.end(), n * 1000);
    return ids;
  }
  static Hash128 key_of(const std::vector<int32_t>& ids) {
    Hash128 key = kModel;
    for (size_t i = 0; i < ids.size(); i += kIds) key = DiskBlocks::key(key, std::span(ids).subspan(i, kIds));
    return key;
  }
  static std::vector<std::byte> payload_of(const std::vector<int32_t>& ids) {
    std::vector<std::byte> bytes(kPayload);
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = std::byte(ids.back() + int(i) * 7);
    return bytes;
  }
  static bool write(DiskBlocks& disk, const std::vector<int32_t>& ids, int64_t stamp) {
    return disk.write(key_of(ids), ids, stamp, [&](std::span<std::byte> to) {
      const std::vector<std::byte> bytes = payload_of(ids);
      ASSERT_EQ(to.size(), bytes.size());
      std::copy(bytes.begin(), bytes.end(), to.begin());
    });
  }
  // Whether it is there; if so, it is right.
  static bool holds(DiskBlocks& disk, const std::vector<int32_t>& ids) {
    const std::span<const std::byte> got = disk.read(key_of(ids), ids);
    if (got.empty()) return false;
    const std::vector<std::byte> want = payload_of(ids);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin(), want.end()));
    return true;
  }
  Path file_of(const std::vector<int32_t>& ids) const { return folder_ / (key_of(ids).hex() + ".kv"); }
  std::vector<Path> files() const {
    std::vector<Path> y;
    for (const auto& entry : fs::directory_iterator(folder_)) y.push_back(entry.path());
    return y;
  }
  static std::string refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      return error.what();
    }
    return "no refusal";
  }

  Path folder_;
};

TEST_F(DiskBlocksTest, WhatIsWrittenIsThereAfterARestartAndForItsOwnerOnly) {
  {
    DiskBlocks disk(folder_ / "a" / "b", kRoomy, kModel, kPayload);
    EXPECT_EQ(disk.state(key_of(text(1))), DiskBlocks::State::kAbsent);
    EXPECT_TRUE(write(disk, text(1), 10));
    EXPECT_FALSE(write(disk, text(1), 10)) << "twice";
    EXPECT_TRUE(write(disk, text(1, 3), 9));
    disk.flush();
    EXPECT_TRUE(holds(disk, text(1)));
    EXPECT_TRUE(write(disk, text(2), 12));  // which the end waits for
  }
  folder_ = folder_ / "a" / "b";
  struct stat status;
  ASSERT_EQ(::stat(folder_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat(file_of(text(2)).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  DiskBlocks disk(folder_ / "", kRoomy, kModel, kPayload);
  EXPECT_EQ(disk.statistics().blocks, 3);
  EXPECT_EQ(disk.statistics().bytes, 3 * 4096);
  EXPECT_TRUE(holds(disk, text(1)));
  EXPECT_TRUE(holds(disk, text(1, 3)));
  EXPECT_TRUE(holds(disk, text(2)));
  EXPECT_FALSE(holds(disk, text(3)));
  folder_ = folder_.parent_path().parent_path();
}

TEST_F(DiskBlocksTest, AFlippedOrCutFileIsRemovedAndNeverUsed) {
  const std::vector<int32_t> ids = text(5, 2);
  { write(*std::make_unique<DiskBlocks>(folder_, kRoomy, kModel, kPayload), ids, 1); }
  const std::string good = read_file(file_of(ids));
  ASSERT_EQ(good.size(), 40 + 2 * kIds * 4 + kPayload + 16);
  std::vector<std::string> bad;
  for (size_t i = 0; i < good.size(); i++) {
    bad.push_back(good);
    bad.back()[i] = char(bad.back()[i] ^ (1 << (i % 8)));
    bad.push_back(good.substr(0, i));
  }
  bad.push_back(good + "x");
  bad.push_back(std::string(good.size(), '\0'));
  for (const std::string& bytes : bad) {
    write_file_unsynced(file_of(ids), bytes);
    DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
    EXPECT_FALSE(holds(disk, ids));
    EXPECT_FALSE(fs::exists(file_of(ids)));
    EXPECT_EQ(disk.state(key_of(ids)), DiskBlocks::State::kAbsent);
    EXPECT_EQ(disk.statistics().bytes, 0);
  }
  write_file_unsynced(file_of(ids), good);
  DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
  EXPECT_TRUE(holds(disk, ids));
}

TEST_F(DiskBlocksTest, AnotherTextOrModelOfTheSameNameIsNotUsed) {
  const std::vector<int32_t> ids = text(1), others = text(2);
  {
    DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
    write(disk, ids, 1);
    disk.flush();
    fs::rename(file_of(ids), file_of(others));  // as if their hashes were one
  }
  {
    DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
    EXPECT_FALSE(holds(disk, others));
    write(disk, ids, 1);
  }
  {
    DiskBlocks disk(folder_, kRoomy, kModel, kPayload + 1);
    EXPECT_TRUE(disk.read(key_of(ids), ids).empty()) << "blocks of another size";
    write(*std::make_unique<DiskBlocks>(folder_ / "other", kRoomy, kModel, kPayload), ids, 1);
    fs::rename(folder_ / "other" / file_of(ids).filename(), file_of(ids));
  }
  DiskBlocks disk(folder_, kRoomy, Hash128{17, 5}, kPayload);
  EXPECT_TRUE(disk.read(key_of(ids), ids).empty()) << "another model";
}

TEST_F(DiskBlocksTest, WhatIsNotOursStays) {
  fs::create_directories(folder_);
  const std::string name = key_of(text(1)).hex();
  for (const std::string& other : {std::string("notes.txt"), "x" + name, name + ".txt", name.substr(1) + ".kv"})
    write_file_unsynced(folder_ / other, "mine");
  fs::create_directories(folder_ / (name + ".kv"));
  write_file_unsynced(folder_ / (name + ".kv.partial-123"), "of a server that was killed");
  DiskBlocks disk(folder_, 4096, kModel, kPayload);
  EXPECT_EQ(disk.statistics().blocks, 0);
  EXPECT_FALSE(holds(disk, text(1)));
  EXPECT_EQ(files().size(), 6u) << "four, a folder, the lock";
}

TEST_F(DiskBlocksTest, TheLeastRecentlyUsedGoFirstAndATextsEndBeforeItsBeginning) {
  constexpr int64_t kHour = 3'600'000'000'000;
  {
    DiskBlocks disk(folder_, 4 * 4096, kModel, kPayload);
    for (int n = 0; n < 4; n++) write(disk, text(n), n + 1);
    disk.flush();
    disk.use(key_of(text(0)), kHour);
    write(disk, text(4), 2 * kHour);
    disk.flush();
    EXPECT_TRUE(holds(disk, text(0)));
    EXPECT_FALSE(holds(disk, text(1)));
    EXPECT_EQ(disk.statistics().bytes, 4 * 4096);
  }
  {
    DiskBlocks disk(folder_, 2 * 4096, kModel, kPayload);  // the order and the bound hold over a restart
    EXPECT_EQ(disk.statistics().blocks, 2);
    EXPECT_TRUE(holds(disk, text(0)));
    EXPECT_TRUE(holds(disk, text(4)));
    EXPECT_EQ(files().size(), 3u) << "the lock is one";
    // A text that does not fit keeps its beginning: a block behind one that went could not be found.
    for (int i = 1; i <= 5; i++) write(disk, text(9, i), 3 * kHour - i);
    disk.flush();
    for (int i = 1; i <= 5; i++) EXPECT_EQ(holds(disk, text(9, i)), i <= 2) << i;
  }
  EXPECT_NE(refusal([&] { DiskBlocks disk(folder_, 4095, kModel, kPayload); }).find("a block of this model takes 4096"),
            std::string::npos);
}

TEST_F(DiskBlocksTest, OneProcessAtATimeAndNobodyElseMayWrite) {
  DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
  EXPECT_NE(refusal([&] {
              DiskBlocks second(folder_, kRoomy, kModel, kPayload);
            }).find(fmt::format("process {} is at work here", ::getpid())),
            std::string::npos);
  const Path open = folder_ / "open", file = folder_ / "file";
  fs::create_directories(open);
  fs::permissions(open, fs::perms(0777));
  EXPECT_NE(refusal([&] { DiskBlocks second(open, kRoomy, kModel, kPayload); }).find("chmod go-w"), std::string::npos);
  write_file_unsynced(file, "");
  EXPECT_NE(refusal([&] { DiskBlocks second(file, kRoomy, kModel, kPayload); }).find("file"), std::string::npos);
}

TEST_F(DiskBlocksTest, AFullDiskCostsOneLineAndWhatIsThereIsStillRead) {
  DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
  write(disk, text(1), 1);
  disk.flush();
  for (const FileCall call : {FileCall::kWrite}) {
    static FileCall failing;
    failing = call;
    file_fault = [](FileCall now, const Path&) { return now == failing ? ENOSPC : 0; };
    ::testing::internal::CaptureStderr();
    for (int n = 2; n < 20; n++) write(disk, text(n), n);
    disk.flush();
    EXPECT_FALSE(write(disk, text(30), 30));
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
    EXPECT_NE(said.find("No space left on device"), std::string::npos) << said;
    file_fault = nullptr;
    EXPECT_EQ(files().size(), 2u) << "the lock is one";
    EXPECT_EQ(disk.state(key_of(text(2))), DiskBlocks::State::kAbsent);
    EXPECT_TRUE(holds(disk, text(1)));
  }
}

// What waits for the disk is bounded.
TEST_F(DiskBlocksTest, TooMuchIsNotWritten) {
  static std::atomic<bool> held;
  held = true;
  file_fault = [](FileCall, const Path&) {
    while (held) ::usleep(1000);
    return 0;
  };
  constexpr int64_t kLarge = 8 << 20;
  const auto ids = [](int n) { return text(n); };
  int taken = 0;
  {
    DiskBlocks disk(folder_, int64_t(1) << 30, kModel, kLarge);
    for (int n = 0; n < 20; n++) taken += disk.write(key_of(ids(n)), ids(n), n, [](std::span<std::byte>) {});
    EXPECT_GE(taken, 7);
    EXPECT_LE(taken, 9) << "64 MB, and one on its way";
    held = false;
  }
  EXPECT_EQ(int(files().size()), taken);
}

// kill -9 at each call of the file system: what is there afterwards is whole.
TEST_F(DiskBlocksTest, AKillLeavesWholeFilesOnly) {
  static int calls;
  int before = 0;
  for (int at = 0; at < 16; at++) {
    fs::remove_all(folder_);
    const pid_t child = ::fork();
    if (child == 0) {
      calls = at;
      file_fault = [](FileCall, const Path&) {
        if (calls-- == 0) ::raise(SIGKILL);
        return 0;
      };
      DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
      for (int n = 0; n < 5; n++) write(disk, text(n), n);
      disk.flush();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WIFSIGNALED(status), at < 15) << at;  // create, write, rename: three calls each
    DiskBlocks disk(folder_, kRoomy, kModel, kPayload);
    int there = 0;
    for (int n = 0; n < 5; n++) there += holds(disk, text(n));
    EXPECT_EQ(there, at / 3);
    EXPECT_GE(there, before);
    before = there;
    EXPECT_EQ(int(files().size()), there + 1) << "the lock, and no leftover";
    for (int n = 0; n < 5; n++) write(disk, text(n), n);
    disk.flush();
    EXPECT_EQ(disk.statistics().blocks, 5);
  }
}

}  // namespace
}  // namespace tenth::testing
