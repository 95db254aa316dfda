// A file that only grows: logs of metrics and events. Each append reaches the system before it returns, so that a
// process that is killed leaves whole records and at most one cut one at the end.
#pragma once
#include <string_view>

#include "base/files.h"

namespace tenth {

class AppendFile {
 public:
  // Opens or creates. Throws kIo with the path and the system's reason, as append does (disk full).
  explicit AppendFile(const Path& path);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;

  void append(std::string_view bytes);
  const Path& path() const { return path_; }

 private:
  Path path_;
  int fd_ = -1;
};

}  // namespace tenth
