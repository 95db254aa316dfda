// Which blocks of the key-value cache hold which beginnings of texts: a tree whose edges are the 64 ids of a block. It
// holds nothing itself: a block stays findable until the pool hands it out for other contents.
//
// Where the multi-token prediction module has its layer in the cache, its row at position i joins the state there with
// token i + 1, so a block's contents depend on the first id behind it too: that is a part of the edge then.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "engine/block_pool.h"

namespace tenth {

class PrefixCache {
 public:
  // A place in the tree: what stands before a block. 0: nothing.
  using Node = uint64_t;

  // with_next: an edge is kCacheBlock + 1 ids, else kCacheBlock. Blocks still begin every kCacheBlock.
  PrefixCache(int64_t blocks, bool with_next)
      : edge_ids_(size_t(kCacheBlock + with_next)), node_of_block_(size_t(blocks), 0) {}

  // The blocks that hold the beginning of ids, as many as there are; node becomes the place behind them.
  std::vector<int32_t> find(std::span<const int32_t> ids, Node& node) const;
  // Block now holds the first kCacheBlock of ids, which go as far as an edge does, behind node. Returns the place
  // behind it. Where the tree has such a block already, that one stays.
  Node put(Node node, std::span<const int32_t> ids, int32_t block);
  // The block is about to get other contents.
  void forget(int32_t block);

  int64_t blocks() const { return int64_t(nodes_.size()); }

 private:
  struct Entry {
    Node before;
    int32_t block;
    uint64_t key;
    std::array<int32_t, kCacheBlock + 1> ids;  // of the edge
  };
  uint64_t key_of(Node node, std::span<const int32_t> ids) const;
  const Entry* entry(Node node, std::span<const int32_t> ids, Node* found) const;

  const size_t edge_ids_;
  std::unordered_map<Node, Entry> nodes_;
  std::unordered_multimap<uint64_t, Node> by_key_;
  std::vector<Node> node_of_block_;
  Node next_ = 1;  // never used again, so that what hung on a forgotten block cannot be found
};

}  // namespace tenth
