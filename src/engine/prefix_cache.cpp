#include "engine/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace tenth {

uint64_t PrefixCache::key_of(Node node, std::span<const int32_t> ids) const {
  const Hash128 hash = hash128(std::as_bytes(ids.first(edge_ids_)));
  return hash.low ^ (node * 0x9e3779b97f4a7c15u);
}

// The ids are compared, not only their hash.
const PrefixCache::Entry* PrefixCache::entry(Node node, std::span<const int32_t> ids, Node* found) const {
  const auto [begin, end] = by_key_.equal_range(key_of(node, ids));
  for (auto it = begin; it != end; ++it) {
    const Entry& e = nodes_.at(it->second);
    if (e.before != node || !std::equal(ids.begin(), ids.begin() + ptrdiff_t(edge_ids_), e.ids.begin())) continue;
    *found = it->second;
    return &e;
  }
  return nullptr;
}

std::vector<int32_t> PrefixCache::find(std::span<const int32_t> ids, Node& node) const {
  std::vector<int32_t> blocks;
  node = 0;
  for (; ids.size() >= edge_ids_; ids = ids.subspan(size_t(kCacheBlock))) {
    const Entry* e = entry(node, ids, &node);
    if (!e) break;
    blocks.push_back(e->block);
  }
  return blocks;
}

PrefixCache::Node PrefixCache::put(Node node, std::span<const int32_t> ids, int32_t block) {
  Node found = 0;
  if (entry(node, ids, &found)) return found;
  Entry e{node, block, key_of(node, ids), {}};
  std::copy_n(ids.begin(), edge_ids_, e.ids.begin());
  by_key_.emplace(e.key, next_);
  nodes_.emplace(next_, e);
  node_of_block_.at(size_t(block)) = next_;
  return next_++;
}

void PrefixCache::forget(int32_t block) {
  const Node node = std::exchange(node_of_block_.at(size_t(block)), 0);
  if (node == 0) return;
  const auto [begin, end] = by_key_.equal_range(nodes_.at(node).key);
  by_key_.erase(std::find_if(begin, end, [&](const auto& entry) { return entry.second == node; }));
  nodes_.erase(node);
}

}  // namespace tenth
