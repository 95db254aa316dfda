#include "engine/disk_blocks.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/private_file.h"

namespace tenth {
namespace {

constexpr std::array<char, 8> kMagic = {'t', 'e', 'n', 't', 'h', 'k', 'v', '1'};
constexpr size_t kHashBytes = 16;
// Memory that waits for the disk, and orders to it.
constexpr size_t kMostWaitingBytes = size_t(64) << 20, kMostJobs = 1 << 16;
// A file's stamp may lag behind by so much, ns: use costs no system call each time.
constexpr int64_t kStampLag = 60'000'000'000;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint64_t low = 0, high = 0;  // fingerprint
  uint64_t ids = 0, payload = 0;
};
static_assert(sizeof(Header) == 40);

// What a file of so many bytes takes of the disk.
int64_t on_disk(int64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

std::optional<Hash128> key_in(const std::string& name) {
  if (name.size() < 32) return std::nullopt;
  Hash128 key;
  const char* at = name.data();
  for (uint64_t* half : {&key.high, &key.low}) {
    const auto [end, error] = std::from_chars(at, at + 16, *half, 16);
    if (error != std::errc() || end != at + 16) return std::nullopt;
    at += 16;
  }
  return key.hex() == name.substr(0, 32) ? std::optional(key) : std::nullopt;
}

void make_private_folder(const Path& folder) {
  make_folder(folder.parent_path());
  const bool made = ::mkdir(folder.c_str(), 0700) == 0;
  require(made || errno == EEXIST, ErrorKind::kIo, "{}: cannot create the folder: {}", folder.string(),
          std::strerror(errno));
  struct stat status;
  require(::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode), ErrorKind::kInput,
          "{}: expected a folder, got a file", folder.string());
  require((status.st_mode & 022) == 0, ErrorKind::kInput,
          "{}: others than its owner may write here (mode {:o}), and could change what the model reads: chmod go-w, or "
          "name a folder that is not there yet",
          folder.string(), status.st_mode & 07777);
}

void stamp_file(const Path& path, int64_t stamp) {
  const timespec time{stamp / 1'000'000'000, stamp % 1'000'000'000};
  const timespec times[2] = {time, time};
  ::utimensat(AT_FDCWD, path.c_str(), times, 0);  // where it fails, the order is less exact
}

}  // namespace

DiskBlocks::DiskBlocks(const Path& folder, int64_t limit, const Hash128& fingerprint, int64_t payload)
    : folder_(folder.has_filename() ? folder : folder.parent_path()),
      limit_(limit),
      fingerprint_(fingerprint),
      payload_(size_t(payload)) {
  const int64_t least = on_disk(int64_t(file_bytes(0)));
  require(limit_ >= least, ErrorKind::kInput,
          "{}: a prefix cache of {} bytes: a block of this model takes {}, expected room for one at least",
          folder.string(), limit_, least);
  make_private_folder(folder_);
  lock_ = std::make_unique<FileLock>(folder_ / "lock");
  list();
  writer_ = std::thread([this] { run(); });
}

DiskBlocks::~DiskBlocks() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  writer_.join();
}

size_t DiskBlocks::file_bytes(size_t ids) const {
  return sizeof(Header) + ids * sizeof(int32_t) + payload_ + kHashBytes;
}

// What a server that was killed was writing goes; what is not named as ours is left alone.
void DiskBlocks::list() {
  const int64_t now = now_stamp();  // a clock that was wrong must not keep a file for ever
  std::error_code error;
  std::filesystem::directory_iterator it(folder_, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    const std::optional<Hash128> key = key_in(name);
    if (!key) continue;
    struct stat status;
    if (is_leftover(it->path()))
      ::unlink(it->path().c_str());
    else if (name.substr(32) == ".kv" && ::stat(it->path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      const int64_t stamp = std::min(now, int64_t(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec);
      add(*key, {std::max<int64_t>(1, on_disk(status.st_size)), stamp, stamp});
    }
  }
  require(!error, ErrorKind::kIo, "{}: cannot read the folder: {}", folder_.string(), error.message());
  std::vector<Path> gone;
  make_room(0, INT64_MAX, gone);
  for (const Path& path : gone) ::unlink(path.c_str());
}

void DiskBlocks::add(const Hash128& key, const Entry& entry) {
  entries_[key] = entry;
  by_stamp_.emplace(entry.stamp, key);
  bytes_ += entry.bytes;
}

void DiskBlocks::forget(const Hash128& key) {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return;
  by_stamp_.erase({it->second.stamp, key});
  bytes_ -= it->second.bytes;
  entries_.erase(it);
}

bool DiskBlocks::make_room(int64_t bytes, int64_t stamp, std::vector<Path>& gone) {
  while (bytes_ + bytes > limit_) {
    if (by_stamp_.empty() || by_stamp_.begin()->first > stamp) return false;
    const Hash128 key = by_stamp_.begin()->second;
    gone.push_back(path_of(key));
    forget(key);
  }
  return true;
}

Hash128 DiskBlocks::key(const Hash128& before, std::span<const int32_t> ids) {
  std::vector<std::byte> bytes(sizeof before + ids.size_bytes());
  std::memcpy(bytes.data(), &before, sizeof before);
  std::memcpy(bytes.data() + sizeof before, ids.data(), ids.size_bytes());
  return hash128(bytes);
}

DiskBlocks::State DiskBlocks::state(const Hash128& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(key);
  return it == entries_.end() ? State::kAbsent : it->second.bytes == 0 ? State::kWaiting : State::kOnDisk;
}

int64_t DiskBlocks::now_stamp() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::span<const std::byte> DiskBlocks::read(const Hash128& key, std::span<const int32_t> ids) {
  if (state(key) != State::kOnDisk) return {};
  const Path path = path_of(key);
  const Header header{kMagic, fingerprint_.low, fingerprint_.high, ids.size(), payload_};
  const size_t size = file_bytes(ids.size()), body = size - kHashBytes;
  bool there = true;
  try {
    file_ = read_file(path, size);
    const auto bytes = std::as_bytes(std::span(file_));
    const auto whole = [&] {
      const Hash128 sum = hash128(bytes.first(body));
      return std::memcmp(bytes.data() + body, &sum, kHashBytes) == 0;
    };
    if (bytes.size() == size && std::memcmp(bytes.data(), &header, sizeof header) == 0 &&
        std::memcmp(bytes.data() + sizeof header, ids.data(), ids.size_bytes()) == 0 && whole())
      return bytes.subspan(sizeof header + ids.size_bytes(), payload_);
  } catch (const Error& e) {
    there = e.kind() != ErrorKind::kIo;
  }
  if (there) ::unlink(path.c_str());
  const std::lock_guard lock(mutex_);
  forget(key);
  return {};
}

bool DiskBlocks::write(const Hash128& key, std::span<const int32_t> ids, int64_t stamp,
                       const std::function<void(std::span<std::byte>)>& fill) {
  Job job{key, stamp, nullptr, file_bytes(ids.size())};
  {
    const std::lock_guard lock(mutex_);
    const bool full = !jobs_.empty() && waiting_bytes_ + job.bytes > kMostWaitingBytes;
    if (failed_ || full || entries_.count(key)) return false;
  }
  job.image = std::make_unique_for_overwrite<std::byte[]>(job.bytes);
  const Header header{kMagic, fingerprint_.low, fingerprint_.high, ids.size(), payload_};
  std::byte* at = job.image.get();
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + sizeof header, ids.data(), ids.size_bytes());
  fill({at + sizeof header + ids.size_bytes(), payload_});
  {
    const std::lock_guard lock(mutex_);
    entries_[key] = {0, stamp, stamp};
    waiting_bytes_ += job.bytes;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void DiskBlocks::use(const Hash128& key, int64_t stamp) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end() || it->second.stamp >= stamp) return;
  Entry& entry = it->second;
  if (entry.bytes > 0) {
    by_stamp_.erase({entry.stamp, key});
    by_stamp_.emplace(stamp, key);
  }
  entry.stamp = stamp;
  if (entry.bytes == 0 || entry.saved + kStampLag > stamp || jobs_.size() >= kMostJobs) return;
  entry.saved = stamp;
  jobs_.push_back({key, stamp, nullptr, 0});
  wake_.notify_one();
}

DiskBlocks::Statistics DiskBlocks::statistics() const {
  const std::lock_guard lock(mutex_);
  return {int64_t(by_stamp_.size()), bytes_};
}

void DiskBlocks::flush() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return jobs_.empty() && !busy_; });
}

void DiskBlocks::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    busy_ = true;
    lock.unlock();
    try {
      save(job);
    } catch (const std::exception& e) {
      give_up(e.what());
    }
    job.image.reset();
    lock.lock();
    waiting_bytes_ -= job.bytes;
    busy_ = false;
    idle_.notify_all();
  }
}

void DiskBlocks::save(Job& job) {
  const Path path = path_of(job.key);
  if (!job.image) return stamp_file(path, job.stamp);
  const int64_t bytes = on_disk(int64_t(job.bytes));
  std::vector<Path> gone;
  bool room;
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return;
    job.stamp = entries_.at(job.key).stamp;  // it may have been used since
    room = make_room(bytes, job.stamp, gone);
    if (!room) entries_.erase(job.key);
  }
  for (const Path& old : gone) ::unlink(old.c_str());
  if (!room) return;
  const size_t body = job.bytes - kHashBytes;
  const Hash128 sum = hash128(std::span<const std::byte>(job.image.get(), body));
  std::memcpy(job.image.get() + body, &sum, kHashBytes);
  write_private_file_unsynced(path, {job.image.get(), job.bytes});
  stamp_file(path, job.stamp);
  const std::lock_guard lock(mutex_);
  add(job.key, {bytes, entries_.at(job.key).stamp, job.stamp});
}

// A full disk stays full for a while, and a broken one broken: nothing is written any more, what is there is read.
void DiskBlocks::give_up(const std::string& error) {
  std::fprintf(stderr, "prefix cache: %s; nothing more is written there until the next start\n", error.c_str());
  const std::lock_guard lock(mutex_);
  failed_ = true;
  std::erase_if(entries_, [](const auto& entry) { return entry.second.bytes == 0; });
}

}  // namespace tenth
