#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace tenth {
namespace {

int open_file(const Path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0644);
  require(fd >= 0, ErrorKind::kIo, "{}: cannot make the lock: {}", path.string(), std::strerror(errno));
  return fd;
}

// Whether the path still names the open file: who held the lock may have removed it since it was opened.
bool still_there(int fd, const Path& path) {
  struct stat open, named;
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

// "process 17", as the file says; it is empty for the moment between the lock and the first write.
std::string holder(int fd) {
  char text[32];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  std::string digits;
  for (ssize_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; i++) digits += text[i];
  return digits.empty() ? "another process" : "process " + digits;
}

}  // namespace

FileLock::FileLock(const Path& path) : path_(path), fd_(open_file(path)) {
  constexpr int kMostTries = 1000;
  for (int i = 0; i < kMostTries; i++, ::close(fd_), fd_ = open_file(path)) {
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      const std::string who = holder(fd_);
      ::close(fd_);
      fail(ErrorKind::kInput, "{}: {} is at work here; wait for its end, or name another folder",
           path.parent_path().string(), who);
    }
    if (still_there(fd_, path)) break;
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, pid.data(), pid.size(), 0) < 0) {
    // A full disk: then the lock names nobody.
  }
}

FileLock::~FileLock() {
  ::unlink(path_.c_str());
  ::close(fd_);
}

}  // namespace tenth
