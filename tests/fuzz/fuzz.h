// Shared by the fuzz targets.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace tenth::fuzz {

// What input from outside may lead to: an error that blames the input, never the code. (It quotes what came, line ends
// included; the command line prints it as one line.)
inline void must_blame_input(const Error& error) {
  if (error.kind() != ErrorKind::kInput && error.kind() != ErrorKind::kUnsupported) {
    std::fprintf(stderr, "unexpected error: %s\n", error.what());
    std::abort();
  }
}

inline void must(bool ok) {
  if (!ok) std::abort();
}

// The input as two parts, cut at the first byte 0xFF, which no UTF-8 text holds.
inline std::pair<std::string_view, std::string_view> two_parts(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t cut = all.find('\xff');
  if (cut == all.npos) return {all, {}};
  return {all.substr(0, cut), all.substr(cut + 1)};
}

// A file in memory, for readers that take a path.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {}
  ~MemoryFile() { close(fd_); }
  const std::string& path_of(std::string_view text) {
    must(ftruncate(fd_, 0) == 0 && pwrite(fd_, text.data(), text.size(), 0) == ssize_t(text.size()));
    return path_;
  }

 private:
  int fd_;
  std::string path_;
};

// A folder in memory, for readers that look at names and at more than one file.
class MemoryFolder {
 public:
  MemoryFolder() : path_("/dev/shm/tenth-fuzz-" + std::to_string(getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~MemoryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path put(const std::string& name, std::string_view bytes) const {
    const int file = open((path_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(file >= 0 && write(file, bytes.data(), bytes.size()) == ssize_t(bytes.size()) && close(file) == 0);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace tenth::fuzz
