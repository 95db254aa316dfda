#include "base/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace tenth {

// Never waits: a pipe without a writer opens too, and is refused as no regular file.
FileReader::FileReader(const Path& path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  require(fd_ >= 0, ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat status;
  if (::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) {
    size_ = size_t(status.st_size);
    return;
  }
  ::close(fd_);
  fail(ErrorKind::kInput, "{}: expected a file, got a folder or a device", path.string());
}

FileReader::~FileReader() {
  if (fd_ >= 0) ::close(fd_);
}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

void FileReader::read(size_t begin, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), off_t(begin));
    if (n < 0 && errno == EINTR) continue;
    require(n >= 0, ErrorKind::kIo, "{}: cannot read: {}", path_.string(), std::strerror(errno));
    require(n > 0, ErrorKind::kIo, "{}: cannot read {} bytes at {}: the file was cut short while it was in use",
            path_.string(), out.size(), begin);
    begin += size_t(n);
    out = out.subspan(size_t(n));
  }
}

}  // namespace tenth
