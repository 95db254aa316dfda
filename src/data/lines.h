// The lines of a text file, plain or packed by zstandard (name.zst), in bounded memory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/files.h"

namespace tenth {

class LineReader {
 public:
  static constexpr size_t kMaxLine = size_t(64) << 20;  // bytes

  // Throws kIo where the file cannot be opened, kInput where it is none.
  explicit LineReader(const Path& path);
  ~LineReader();

  enum class Next { kLine, kTooLong, kEnd };
  // The next line without its newline; of one that has more than kMaxLine bytes only the first bytes. Throws kIo, and
  // kInput where packed data is damaged or ends too early: then the lines end there.
  Next next(std::string& line);

  int64_t number() const { return number_; }  // of the last line, from 1
  int64_t bytes_read() const;                 // of the file, so far
  const std::string& name() const { return name_; }

 private:
  class Source;
  bool fill();  // false at the end

  std::string name_;
  std::unique_ptr<Source> source_;
  bool ended_ = false;
  std::string block_, spare_;
  size_t at_ = 0;
  int64_t number_ = 0;
};

}  // namespace tenth
