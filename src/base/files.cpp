#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace tenth {
namespace {

[[noreturn]] void fail_errno(const char* action, const Path& path) {
  fail(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), action, std::strerror(errno));
}

class Descriptor {
 public:
  // Never waits: a pipe without a writer opens too, and is refused as no regular file.
  Descriptor(const Path& path, int flags, const char* action)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, 0644)) {
    if (fd_ < 0) fail_errno(action, path);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct stat status_of(const Descriptor& file, const Path& path) {
  struct stat status;
  if (::fstat(file.get(), &status) != 0) fail_errno("read", path);
  require(S_ISREG(status.st_mode), ErrorKind::kInput, "{}: expected a file, got a folder or a device", path.string());
  return status;
}

void write_all(int fd, std::span<const std::byte> bytes, const Path& path) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno("write", path);
    }
    bytes = bytes.subspan(size_t(n));
  }
}

void sync_folder(const Path& folder) {
  Descriptor dir(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY, "open");
  if (::fsync(dir.get()) != 0) fail_errno("sync", folder);
}

// Where a write through a link belongs, so that the link stays. A device or a folder is no place for a file.
Path place_for_file(const Path& path) {
  std::error_code none;
  const auto status = std::filesystem::status(path, none);
  require(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), ErrorKind::kInput,
          "{}: expected the place of a file to write, got a folder or a device", path.string());
  const Path real = std::filesystem::canonical(path, none);
  return none ? path : real;
}

// Puts a new folder in the place of an old one. In one step where the file system can exchange two names, so that a
// kill in between leaves one of them; the old one is then at `beside`, to be removed.
void exchange_folders(const Path& beside, const Path& folder) {
  if (::renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) fail_errno("rename into place", folder);
  const Path old = folder.string() + fmt::format(".old-{}", ::getpid());
  std::filesystem::rename(folder, old);
  std::error_code error, ignored;
  std::filesystem::rename(beside, folder, error);
  std::filesystem::rename(old, error ? folder : beside, ignored);
  if (error) throw std::filesystem::filesystem_error("rename", error);
}

}  // namespace

std::string read_file(const Path& path, size_t limit) {
  Descriptor file(path, O_RDONLY, "open");
  size_t size = size_t(status_of(file, path).st_size);
  require(size <= limit, ErrorKind::kInput, "{}: expected at most {} bytes, got {}", path.string(), limit, size);
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    ssize_t n = ::read(file.get(), text.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("read", path);
    if (n == 0) break;
    done += size_t(n);
  }
  text.resize(done);
  return text;
}

void write_file(const Path& target, const std::function<void(const ByteSink&)>& writer) {
  const Path path = place_for_file(target);
  Path beside = path;
  beside += fmt::format(".partial-{}", ::getpid());
  try {
    Descriptor file(beside, O_WRONLY | O_CREAT | O_TRUNC, "create");
    writer([&](std::span<const std::byte> bytes) { write_all(file.get(), bytes, path); });
    if (::fsync(file.get()) != 0) fail_errno("sync", path);
    if (::close(file.release()) != 0) fail_errno("close", path);
    if (::rename(beside.c_str(), path.c_str()) != 0) fail_errno("rename into place", path);
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  sync_folder(path.parent_path());
}

void write_file(const Path& path, std::string_view bytes) {
  write_file(path, [&](const ByteSink& sink) { sink(std::as_bytes(std::span(bytes))); });
}

void replace_folder(const Path& folder, const std::function<void(const Path& beside)>& fill) {
  namespace fs = std::filesystem;
  const Path beside = folder.string() + fmt::format(".partial-{}", ::getpid());
  try {
    fs::remove_all(beside);
    fs::create_directories(beside);
    fill(beside);
    sync_folder(beside);
    if (fs::exists(folder)) {
      exchange_folders(beside, folder);
    } else {
      fs::rename(beside, folder);
    }
    sync_folder(folder.parent_path());
    fs::remove_all(beside);
  } catch (const fs::filesystem_error& e) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    fail(ErrorKind::kIo, "{}: cannot write the folder: {}", folder.string(), e.code().message());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    throw;
  }
}

MappedFile::MappedFile(const Path& path) : path_(path) {
  Descriptor file(path, O_RDONLY, "open");
  size_ = size_t(status_of(file, path).st_size);
  if (size_ == 0) return;
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (map == MAP_FAILED) fail_errno("map", path);
  data_ = static_cast<const std::byte*>(map);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace tenth
