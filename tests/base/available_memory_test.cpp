// Memory that may still be taken, from the system's files as kernels write them.
#include "base/available_memory.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tiny_run.h"

namespace tenth::testing {
namespace {

class AvailableMemory : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    write_file(root_ / name, text);
  }
  int64_t available() const { return available_memory(root_.path()); }
  TempFolder root_;
};

TEST_F(AvailableMemory, IsTheSystems) {
  EXPECT_EQ(available(), INT64_MAX) << "nothing is known";
  put("proc/meminfo", "MemTotal:       16384000 kB\nMemFree:  100 kB\nMemAvailable:    8192000 kB\nBuffers: 5 kB\n");
  EXPECT_EQ(available(), int64_t(8192000) * 1024);
  put("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(available(), int64_t(8192000) * 1024);
}

TEST_F(AvailableMemory, IsLessInAGroupWithALimit) {
  put("proc/meminfo", "MemAvailable:    8192000 kB\n");
  put("proc/self/cgroup", "0::/user/job\n");
  put("sys/fs/cgroup/user/memory.max", "5000000000\n");
  put("sys/fs/cgroup/user/memory.current", "3000000000\n");
  EXPECT_EQ(available(), 2'000'000'000) << "the group around it";
  put("sys/fs/cgroup/user/memory.stat", "anon 1500000000\ninactive_file 400000000\nactive_file 600000000\n");
  EXPECT_EQ(available(), 3'000'000'000) << "pages of files are given up";
  put("sys/fs/cgroup/user/job/memory.max", "max\n");
  put("sys/fs/cgroup/user/job/memory.current", "3000000000\n");
  EXPECT_EQ(available(), 3'000'000'000);
  put("sys/fs/cgroup/user/job/memory.max", "1000000000\n");
  EXPECT_EQ(available(), 0);
}

TEST_F(AvailableMemory, KnowsTheFirstVersionOfGroups) {
  put("proc/meminfo", "MemAvailable:    8192000 kB\n");
  put("proc/self/cgroup", "12:cpu,cpuacct:/a\n4:memory:/docker/abc\n1:name=systemd:/b\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000000\n");
  put("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500000000\n");
  put("sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file 300000000\ntotal_active_file 0\n");
  EXPECT_EQ(available(), 800'000'000);
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(available(), int64_t(8192000) * 1024) << "no limit";
}

TEST(AvailableMemoryHere, IsSane) {
  EXPECT_GT(available_memory(), 0);
  EXPECT_LE(available_memory(), INT64_MAX);
}

}  // namespace
}  // namespace tenth::testing
