#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/private_file.h"

namespace tenth {

std::atomic<FileFault> file_fault = nullptr;

namespace {

constexpr const char* kBeside = ".partial-";
constexpr size_t kPiece = size_t(1) << 20;

[[noreturn]] void fail_errno(const char* action, const Path& path) {
  fail(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), action, std::strerror(errno));
}

// Whether a test wants the call to fail, with errno set.
bool faulty(FileCall call, const Path& path) {
  const FileFault fault = file_fault.load(std::memory_order_relaxed);
  const int error = fault ? fault(call, path) : 0;
  if (error) errno = error;
  return error != 0;
}

class Descriptor {
 public:
  // Never waits: a pipe without a writer opens too, and is refused as no regular file.
  Descriptor(const Path& path, int flags, const char* action, mode_t mode = 0644)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, mode)) {
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
    ssize_t n = faulty(FileCall::kWrite, path) ? -1 : ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno("write", path);
    }
    bytes = bytes.subspan(size_t(n));
  }
}

void rename_path(const Path& from, const Path& to) {
  if (faulty(FileCall::kRename, to) || ::rename(from.c_str(), to.c_str()) != 0) fail_errno("rename into place", to);
}

void sync_folder(const Path& folder) {
  Descriptor dir(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY, "open");
  if (faulty(FileCall::kSync, folder) || ::fsync(dir.get()) != 0) fail_errno("sync", folder);
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
  if (faulty(FileCall::kRename, folder)) fail_errno("rename into place", folder);
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

namespace {

struct Manner {
  bool synced = true;
  mode_t mode = 0644;
};

// False where the file could not be synced, and is gone.
bool write_beside(const Path& beside, const Path& path, const std::function<void(const ByteSink&)>& writer,
                  const Manner& manner) {
  if (faulty(FileCall::kCreate, beside)) fail_errno("create", beside);
  Descriptor file(beside, O_WRONLY | O_CREAT | O_TRUNC, "create", manner.mode);
  writer([&](std::span<const std::byte> bytes) { write_all(file.get(), bytes, path); });
  if (manner.synced && (faulty(FileCall::kSync, beside) || ::fsync(file.get()) != 0)) {
    const int error = errno;
    ::unlink(beside.c_str());
    errno = error;
    return false;
  }
  if (::close(file.release()) != 0) fail_errno("close", path);
  return true;
}

void write_and_rename(const Path& target, const std::function<void(const ByteSink&)>& writer, const Manner& manner) {
  const Path path = place_for_file(target);
  const Path first = path.string() + fmt::format("{}{}", kBeside, ::getpid());
  const Path second = first.string() + "-again";
  try {
    const bool good = write_beside(first, path, writer, manner);
    if (!good && !write_beside(second, path, writer, manner)) fail_errno("sync", path);
    rename_path(good ? first : second, path);
  } catch (...) {
    ::unlink(first.c_str());
    ::unlink(second.c_str());
    throw;
  }
  if (manner.synced) sync_folder(path.parent_path());
}

}  // namespace

void write_file(const Path& path, const std::function<void(const ByteSink&)>& writer) {
  write_and_rename(path, writer, {});
}

void write_file(const Path& path, std::string_view bytes) {
  write_file(path, [&](const ByteSink& sink) { sink(std::as_bytes(std::span(bytes))); });
}

void write_file_unsynced(const Path& path, std::string_view bytes) {
  write_and_rename(path, [&](const ByteSink& sink) { sink(std::as_bytes(std::span(bytes))); }, {.synced = false});
}

void write_private_file_unsynced(const Path& path, std::span<const std::byte> bytes) {
  write_and_rename(path, [&](const ByteSink& sink) { sink(bytes); }, {.synced = false, .mode = 0600});
}

void replace_folder(const Path& folder, const std::function<void(const Path& beside)>& fill) {
  namespace fs = std::filesystem;
  const Path beside = folder.string() + fmt::format("{}{}", kBeside, ::getpid());
  try {
    fs::remove_all(beside);
    fs::create_directories(beside);
    fill(beside);
    sync_folder(beside);
    if (fs::exists(folder)) {
      exchange_folders(beside, folder);
    } else {
      rename_path(beside, folder);
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

void remove_folder(const Path& folder) {
  const Path away = folder.string() + fmt::format("{}{}-old", kBeside, ::getpid());
  rename_path(folder, away);
  std::error_code error;
  std::filesystem::remove_all(away, error);
  require(!error, ErrorKind::kIo, "{}: cannot remove: {}", folder.string(), error.message());
}

void make_folder(const Path& folder) {
  if (folder.empty() || std::filesystem::is_directory(folder)) return;
  make_folder(folder.parent_path());
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  require(!error, ErrorKind::kIo, "{}: cannot create the folder: {}", folder.string(), error.message());
  sync_folder(folder.parent_path());
}

bool is_leftover(const Path& path) { return path.filename().string().find(kBeside) != std::string::npos; }

uint64_t free_bytes(const Path& path) {
  struct statvfs status;
  if (::statvfs(path.c_str(), &status) != 0) fail_errno("ask for free space", path);
  return uint64_t(status.f_bavail) * status.f_frsize;
}

void read_pieces(const Path& path, const std::function<void(std::span<const std::byte>)>& visit) {
  Descriptor file(path, O_RDONLY, "open");
  const size_t size = size_t(status_of(file, path).st_size);
  std::vector<std::byte> piece(std::clamp<size_t>(size, 1, kPiece));
  for (;;) {
    const ssize_t n = ::read(file.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("read", path);
    if (n == 0) return;
    visit(std::span(piece).first(size_t(n)));
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
