// Who holds which blocks of a paged key-value cache. It knows numbers, not memory.
//
// A block may have several holders: sequences that begin alike. One that nobody holds goes to the end of the free list
// and keeps what is in it until take() hands it out again, the longest free first; hold() on a free block brings it
// back. So a cache of prefixes needs beside this class a map from contents to blocks, and to hear what take() gives
// away.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenth {

class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);

  int64_t blocks() const { return int64_t(holders_.size()); }
  int64_t free_blocks() const { return free_; }
  int32_t holders(int32_t block) const { return holders_.at(size_t(block)); }

  int32_t take();               // a free block, which has one holder now. Throws kInternal where none is free
  void hold(int32_t block);     // one holder more
  void release(int32_t block);  // one holder less

  // Adds blocks to a sequence's table until it has room for so many positions.
  void extend(std::vector<int32_t>& table, int64_t positions);
  // A table for a sequence that begins with the first `same` positions of another: full blocks are held by both, for
  // each other block of `from` one is taken, into which the caller has to copy.
  struct Copy {
    int32_t to, from;
  };
  void fork(std::span<const int32_t> from, int64_t same, std::vector<int32_t>& table, std::vector<Copy>& copies);
  // Releases and removes all of a table's blocks, the last first: it is the first to be reused.
  void clear(std::vector<int32_t>& table);

 private:
  struct Link {
    int32_t before, after;
  };
  void insert(int32_t block);  // at the end of the free list
  void remove(int32_t block);

  std::vector<int32_t> holders_;
  std::vector<Link> links_;  // of the free list, a ring; the last entry is its anchor
  int64_t free_ = 0;
};

}  // namespace tenth
