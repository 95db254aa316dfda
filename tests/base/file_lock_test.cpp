#include "base/file_lock.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>

#include "tiny_run.h"

namespace tenth::testing {
namespace {

std::string refusal(const Path& path) {
  return error_of([&] { const FileLock second(path); });
}

TEST(FileLocks, OneHoldsItAndIsNamed) {
  TempFolder folder;
  const Path path = folder / "lock";
  std::optional<FileLock> first(path);
  EXPECT_EQ(refusal(path), fmt::format("{}: process {} is at work here; wait for its end, or name another folder",
                                       folder.path().string(), ::getpid()));
  first.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(refusal(path), "no error");
}

TEST(FileLocks, AKilledProcessLosesIt) {
  TempFolder folder;
  const Path path = folder / "lock";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const FileLock lock(path);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_NE(refusal(path).find(fmt::format("process {} is at work here", child)), std::string::npos);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(refusal(path), "no error");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(FileLocks, WhatStandsInTheWay) {
  TempFolder folder;
  EXPECT_NE(refusal(folder / "absent/lock").find("cannot make the lock: No such file"), std::string::npos);
  std::filesystem::create_directory(folder / "lock");
  EXPECT_NE(refusal(folder / "lock").find("cannot make the lock: Is a directory"), std::string::npos);
  // Another's words in the file are not believed.
  std::ofstream(folder / "words") << "no number";
  EXPECT_EQ(refusal(folder / "words"), "no error");
}

}  // namespace
}  // namespace tenth::testing
