#include "engine/block_pool.h"

#include "base/error.h"
#include "nn/pass.h"

namespace tenth {

BlockPool::BlockPool(int64_t blocks) : holders_(size_t(blocks), 0), links_(size_t(blocks) + 1) {
  require(blocks >= 0 && blocks < INT32_MAX, ErrorKind::kInternal, "a pool of {} cache blocks", blocks);
  links_.back() = {int32_t(blocks), int32_t(blocks)};
  for (int32_t block = 0; block < blocks; block++) insert(block);
}

void BlockPool::insert(int32_t block) {
  const int32_t anchor = int32_t(blocks()), last = links_.back().before;
  links_[size_t(block)] = {last, anchor};
  links_[size_t(last)].after = block;
  links_.back().before = block;
  free_++;
}

void BlockPool::remove(int32_t block) {
  const Link link = links_[size_t(block)];
  links_[size_t(link.before)].after = link.after;
  links_[size_t(link.after)].before = link.before;
  free_--;
}

int32_t BlockPool::take() {
  require(free_ > 0, ErrorKind::kInternal, "no free block: all {} of the cache are in use", blocks());
  const int32_t block = links_.back().after;
  hold(block);
  return block;
}

void BlockPool::hold(int32_t block) {
  if (holders_.at(size_t(block))++ == 0) remove(block);
}

void BlockPool::release(int32_t block) {
  int32_t& holders = holders_.at(size_t(block));
  require(holders > 0, ErrorKind::kInternal, "cache block {} was released more often than it was held", block);
  if (--holders == 0) insert(block);
}

void BlockPool::extend(std::vector<int32_t>& table, int64_t positions) {
  while (int64_t(table.size()) < blocks_for(positions)) table.push_back(take());
}

void BlockPool::fork(std::span<const int32_t> from, int64_t same, std::vector<int32_t>& table,
                     std::vector<Copy>& copies) {
  for (size_t i = 0; i < from.size(); i++) {
    if (int64_t(i) < same / kCacheBlock) {
      hold(from[i]);
      table.push_back(from[i]);
    } else {
      table.push_back(take());
      copies.push_back({table.back(), from[i]});
    }
  }
}

void BlockPool::clear(std::vector<int32_t>& table) {
  for (; !table.empty(); table.pop_back()) release(table.back());
}

}  // namespace tenth
