// Blocks of the key-value cache in a folder, so that they outlive the process: a file each, named by the hash of all
// that its contents follow from. It knows bytes and ids, no tensors.
//
//   file: "tenthkv1", fingerprint (16 bytes), how many ids (u64), bytes of the payload (u64), the ids (i32 each), the
//         payload, XXH3 of all before (16 bytes); integers as this machine has them
//
// A name is a hash, and two texts may share one: so a file holds the ids from the text's beginning on, all of them, and
// is used for just these only. One that is cut, flipped or foreign is removed and counts as absent. Files appear whole
// (written beside, renamed) and are not synced: a power cut may cut them.
//
// Which go first when the folder is full: each has a stamp, the time of its last use, its file's time of change. Of a
// text's blocks the earlier has the later stamp, so that no block outlives one without which it cannot be found.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>

#include "base/file_lock.h"
#include "base/hash.h"

namespace tenth {

class DiskBlocks {
 public:
  // Makes the folder (0700), locks it and lists what is there; limit: bytes of disk, of all models together; payload:
  // bytes of a block. fingerprint: of all that payloads follow from, the ids apart. Throws kInput for a folder that
  // another process uses or others may write to, and for a limit below one block; kIo where it cannot be made or read.
  DiskBlocks(const Path& folder, int64_t limit, const Hash128& fingerprint, int64_t payload);
  ~DiskBlocks();  // writes what waits

  // Keys: of no block, and of the block behind that of key `before`, which holds these ids.
  Hash128 root() const { return fingerprint_; }
  static Hash128 key(const Hash128& before, std::span<const int32_t> ids);

  static int64_t now_stamp();  // ns since 1970

  // One thread calls these; another writes. `ids`: from the text's beginning on, the block's own last.
  enum class State { kAbsent, kWaiting, kOnDisk };
  State state(const Hash128& key) const;
  // The payload, valid until the next call; empty where the file is gone or cannot be used.
  std::span<const std::byte> read(const Hash128& key, std::span<const int32_t> ids);
  // To be written soon: fill is called at once. False, and nothing is done, where too much waits already, or the disk
  // has failed.
  bool write(const Hash128& key, std::span<const int32_t> ids, int64_t stamp,
             const std::function<void(std::span<std::byte>)>& fill);
  void use(const Hash128& key, int64_t stamp);

  struct Statistics {
    int64_t blocks = 0, bytes = 0;  // on disk, of all models
  };
  Statistics statistics() const;  // any thread
  void flush();                   // waits until all is written

 private:
  struct Entry {
    int64_t bytes = 0;             // on disk; 0: waiting to be written
    int64_t stamp = 0, saved = 0;  // saved: the stamp that the file has
  };
  struct Job {
    Hash128 key;
    int64_t stamp = 0;
    std::unique_ptr<std::byte[]> image;  // the file but for the checksum, which stands at its end; null: stamp the file
    size_t bytes = 0;
  };
  Path path_of(const Hash128& key) const { return folder_ / (key.hex() + ".kv"); }
  size_t file_bytes(size_t ids) const;
  void list();
  void add(const Hash128& key, const Entry& entry);  // to the index, as on disk; as the next ones, under the mutex
  void forget(const Hash128& key);
  // The file names that have to go for so many bytes; false: all that is there was used later.
  bool make_room(int64_t bytes, int64_t stamp, std::vector<Path>& gone);
  void run();
  void save(Job& job);
  void give_up(const std::string& error);

  Path folder_;
  int64_t limit_;
  Hash128 fingerprint_;
  size_t payload_;
  std::unique_ptr<FileLock> lock_;
  std::string file_;  // that was read last
  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::map<Hash128, Entry> entries_;
  std::set<std::pair<int64_t, Hash128>> by_stamp_;  // those on disk
  int64_t bytes_ = 0;                               // on disk
  std::deque<Job> jobs_;
  size_t waiting_bytes_ = 0;
  bool busy_ = false, stopping_ = false, failed_ = false;
  std::thread writer_;
};

}  // namespace tenth
