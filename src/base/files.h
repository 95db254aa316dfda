// Files: whole reads, read-only maps, and writes that are complete or absent.
#pragma once
#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace tenth {

using Path = std::filesystem::path;

// The whole file. Throws kIo with the path and the system's reason; kInput if it is larger than limit bytes.
std::string read_file(const Path& path, size_t limit = size_t(1) << 30);

// Writes beside the target, syncs, and renames over it: a reader sees the old file or the new one, never a part, and an
// error (disk full) leaves the old one in place. A link is followed, so it stays one. Throws kIo; kInput where a folder
// or device is in the way. The overload with a function streams: it is handed a sink for bytes.
void write_file(const Path& path, std::string_view bytes);
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file(const Path& path, const std::function<void(const ByteSink&)>& writer);

// Fills a new folder through the function and puts it in the place of the old one, if there was one: a reader sees the
// old folder or the new one, and an error leaves the old one as it was.
void replace_folder(const Path& folder, const std::function<void(const Path& beside)>& fill);

// A read-only map of a file. The bytes live as long as the object.
class MappedFile {
 public:
  explicit MappedFile(const Path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const Path& path() const { return path_; }

 private:
  Path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tenth
