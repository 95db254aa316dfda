// The prefix cache on disk: what disk_blocks.h keeps, put into the engine's cache and taken from it.
//
// A block is written as soon as it is full, in the background. It costs the disk no more than writing it when its place
// is wanted for another (each gets there in the end), the engine's thread nothing at that moment, and a kill loses what
// waits in a short queue instead of all that memory holds.
#pragma once
#include <cstdint>
#include <span>

#include "engine/disk_blocks.h"
#include "engine/fingerprint.h"
#include "nn/transformer.h"

namespace tenth {

struct DiskPrefixOptions {
  Path folder;                          // "": none
  int64_t bytes = int64_t(4096) << 20;  // of disk
};

class DiskPrefixes {
 public:
  // Where a sequence stands: behind so many full blocks.
  struct Chain {
    Hash128 key;
    int64_t blocks = 0;
    int64_t began = 0;       // ns since 1970
    bool restoring = false;  // the next block is on disk, and wanted
    bool writing = true;     // until a block could not be written: those behind it would not be found
    double lost = 0;         // seconds that reading took beyond what computing would have
  };

  // cache: of the model, and outlives this. with_next: as PrefixCache. Throws as DiskBlocks.
  DiskPrefixes(Transformer& model, const KvCache& cache, const DiskPrefixOptions& options, bool with_next);

  // A sequence begins with these ids; its first blocks were found in memory. whole: it is computed whatever is there.
  Chain begin(std::span<const int32_t> ids, std::span<const int32_t> blocks, bool whole);
  // Reads the next block of a chain that is restoring into a block of the cache. False: it has to be computed.
  bool restore(Chain& chain, std::span<const int32_t> ids, int32_t block);
  // The next block of the chain is full, computed or restored.
  void keep(Chain& chain, std::span<const int32_t> ids, int32_t block);
  // What computing costs: a step with so many tokens took so long.
  void computed(int64_t tokens, double seconds);

  DiskBlocks::Statistics statistics() const { return blocks_.statistics(); }  // any thread
  void flush() { blocks_.flush(); }                                           // waits until all is written

 private:
  DiskPrefixes(const ModelFingerprint& model, const KvCache& cache, const DiskPrefixOptions& options, bool with_next);
  // What so many blocks depend on.
  std::span<const int32_t> ids_upto(std::span<const int32_t> ids, int64_t blocks) const {
    return ids.first(size_t(blocks * kCacheBlock + with_next_));
  }
  Hash128 next_key(const Chain& chain, std::span<const int32_t> ids) const;
  bool next_is_wanted(const Chain& chain, std::span<const int32_t> ids) const;
  // Calls visit(tensor) for each layer's part of a block, in the order of the file.
  template <class Visit>
  void for_parts(int32_t block, const Visit& visit) const;
  int64_t block_bytes() const;

  const KvCache& cache_;
  const bool with_next_;
  DiskBlocks blocks_;
  double block_seconds_;  // of computing one
};

}  // namespace tenth
