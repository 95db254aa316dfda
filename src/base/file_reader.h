// A file that is read at places, a piece at a time. Unlike a map it takes no memory for what was read, and a file that
// was cut short meanwhile, or a disk that cannot read a part, is an error and not the end of the process.
#pragma once
#include <cstddef>
#include <span>

#include "base/files.h"

namespace tenth {

class FileReader {
 public:
  // Throws kIo with the path and the system's reason; kInput where it is a folder or a device.
  explicit FileReader(const Path& path);
  ~FileReader();
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&&) = delete;

  size_t size() const { return size_; }  // bytes, when it was opened
  const Path& path() const { return path_; }
  // Fills out with the bytes from `begin` on. Throws kIo, also where the file ends before that. Any thread.
  void read(size_t begin, std::span<std::byte> out) const;

 private:
  Path path_;
  int fd_ = -1;
  size_t size_ = 0;
};

}  // namespace tenth
