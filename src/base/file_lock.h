// A lock that one process at a time holds, on a file of its own (flock). The kernel takes it back when the process
// ends, however it ends.
#pragma once
#include "base/files.h"

namespace tenth {

class FileLock {
 public:
  // Makes the file where it is missing, and writes the number of this process into it. Throws kInput, naming the
  // process that holds the lock, and kIo where the file cannot be made. On a file system that has no locks nobody is
  // refused.
  explicit FileLock(const Path& path);
  ~FileLock();  // the file goes too
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  Path path_;
  int fd_;
};

}  // namespace tenth
