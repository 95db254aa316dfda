// The hashes that a hub gives for its files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace tenth {

// SHA-256 of a large file's bytes, or SHA-1 of "blob <size>\0" and the bytes, as git makes it of a small one: which,
// the number of hexadecimal digits that is expected (64 or 40) says.
class FileDigest {
 public:
  FileDigest(const std::string& expected, int64_t size);
  ~FileDigest();
  FileDigest(const FileDigest&) = delete;
  FileDigest& operator=(const FileDigest&) = delete;

  void add(std::span<const std::byte> bytes);
  std::string hex();  // once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tenth
