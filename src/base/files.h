// Files: whole reads, read-only maps, and writes that are complete or absent.
#pragma once
#include <atomic>
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

// Hands the file's bytes to visit in pieces of at most 1 MiB: for files that are looked at once. Unlike a map, a disk
// that cannot read a part is an error (kIo) and not the end of the process.
void read_pieces(const Path& path, const std::function<void(std::span<const std::byte>)>& visit);

// Writes beside the target, syncs, and renames over it: a reader sees the old file or the new one, never a part, and an
// error (disk full) leaves the old one in place. A link is followed, so it stays one. Throws kIo; kInput where a folder
// or device is in the way. The overload with a function streams: it is handed a sink for bytes.
// A sync that failed is not tried again on that file: the kernel may have dropped the pages and call the next one good
// (Rebello et al., ATC 2020). The bytes are written once more, to a new file, so the writer may be called twice.
void write_file(const Path& path, std::string_view bytes);
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file(const Path& path, const std::function<void(const ByteSink&)>& writer);

// The same without syncs, for what a crash may lose: a reader still sees the old bytes or the new ones.
void write_file_unsynced(const Path& path, std::string_view bytes);

// Fills a new folder through the function and puts it in the place of the old one, if there was one: a reader sees the
// old folder or the new one, and an error leaves the old one as it was.
void replace_folder(const Path& folder, const std::function<void(const Path& beside)>& fill);

// Takes the folder's name away first, so that no kill leaves half of it under that name.
void remove_folder(const Path& folder);

// Makes what is on the way to the folder, and the folder, such that a power cut does not take it away again.
void make_folder(const Path& folder);

// What replace_folder, write_file and remove_folder leave when they are killed: to be deleted by whoever owns the
// place.
bool is_leftover(const Path& path);

// Bytes that may still be written to the file system of an existing path.
uint64_t free_bytes(const Path& path);

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

// For tests of what happens when the system refuses: asked before each such call of this file with the path; a value
// other than 0 is the errno with which the call then fails. Null: nobody asks.
enum class FileCall { kCreate, kWrite, kSync, kRename };
using FileFault = int (*)(FileCall call, const Path& path);
extern std::atomic<FileFault> file_fault;

}  // namespace tenth
