// Blocks are handed out once, shared by count, and come back in the order in which they were left.
#include "engine/block_pool.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"
#include "nn/pass.h"

namespace tenth::testing {
namespace {

using Table = std::vector<int32_t>;

TEST(BlockPool, TheLongestFreeGoesFirstAndAHolderBringsItBack) {
  BlockPool pool(3);
  EXPECT_EQ(pool.free_blocks(), 3);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 1);
  pool.release(0);
  pool.hold(1);
  pool.release(1);
  EXPECT_EQ(pool.holders(1), 1);
  pool.hold(2);  // out of the middle of the free list
  EXPECT_EQ(pool.free_blocks(), 1);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_THROW(pool.take(), Error);
  pool.release(1);
  pool.release(0);
  EXPECT_EQ(pool.take(), 1);
  EXPECT_EQ(pool.take(), 0);
  EXPECT_THROW(BlockPool(0).take(), Error);
}

TEST(BlockPool, MistakesAreErrors) {
  BlockPool pool(2);
  EXPECT_THROW(pool.release(0), Error);
  EXPECT_THROW(pool.hold(2), std::out_of_range);
  EXPECT_THROW(pool.release(-1), std::out_of_range);
  EXPECT_EQ(pool.free_blocks(), 2);
}

TEST(BlockPool, ATableGrowsByWholeBlocks) {
  BlockPool pool(5);
  Table table;
  pool.extend(table, 0);
  EXPECT_TRUE(table.empty());
  pool.extend(table, 1);
  pool.extend(table, kCacheBlock);
  EXPECT_EQ(table, (Table{0}));
  pool.extend(table, 2 * kCacheBlock + 1);
  EXPECT_EQ(table, (Table{0, 1, 2}));
  pool.clear(table);
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(pool.free_blocks(), 5);
  EXPECT_EQ(pool.take(), 3);
  EXPECT_EQ(pool.take(), 4);
  EXPECT_EQ(pool.take(), 2);  // the end of a sequence goes before its beginning, which others may begin with too
}

TEST(BlockPool, AForkSharesFullBlocksAndCopiesTheRest) {
  BlockPool pool(8);
  Table first, second, third;
  std::vector<BlockPool::Copy> copies;
  pool.extend(first, 2 * kCacheBlock + 5);
  pool.fork(first, 2 * kCacheBlock + 5, second, copies);
  EXPECT_EQ(second, (Table{0, 1, 3}));
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].to, 3);
  EXPECT_EQ(copies[0].from, 2);
  EXPECT_EQ(pool.holders(0), 2);
  EXPECT_EQ(pool.holders(2), 1);
  pool.fork(first, 2 * kCacheBlock - 1, third, copies);  // the second block is full, but not all of it is the same
  EXPECT_EQ(third, (Table{0, 4, 5}));
  EXPECT_EQ(copies.size(), 3u);
  pool.clear(first);
  EXPECT_EQ(pool.free_blocks(), 3);  // 2, 6, 7: the others hold 0, 1, 3 and 0, 4, 5
  pool.clear(second);
  pool.clear(third);
  EXPECT_EQ(pool.free_blocks(), 8);
}

// Thousands of sequences come, fork, grow and go: no block has two owners that did not share it, none is lost.
TEST(BlockPool, NothingIsLostOrHandedOutTwice) {
  BlockPool pool(40);
  Rng rng(1);
  std::vector<Table> tables(1);
  std::vector<BlockPool::Copy> copies;
  for (int step = 0; step < 20000; step++) {
    const size_t at = size_t(rng.below(tables.size()));
    const uint64_t what = rng.below(3);
    if (what == 0 && pool.free_blocks() > 0) {
      pool.extend(tables[at], int64_t(tables[at].size()) * kCacheBlock + 1);
    } else if (what == 1 && pool.free_blocks() >= int64_t(tables[at].size())) {
      Table table;
      pool.fork(tables[at], int64_t(rng.below(tables[at].size() * kCacheBlock + 1)), table, copies);
      tables.push_back(table);
    } else if (what == 2) {
      pool.clear(tables[at]);
      if (tables.size() > 1) tables.erase(tables.begin() + long(at));
    }
    std::vector<int32_t> holders(40, 0);
    for (const Table& table : tables) {
      EXPECT_EQ(std::set<int32_t>(table.begin(), table.end()).size(), table.size());
      for (int32_t block : table) holders[size_t(block)]++;
    }
    int64_t free = 0;
    for (int32_t block = 0; block < 40; block++) {
      ASSERT_EQ(pool.holders(block), holders[size_t(block)]) << "step " << step;
      free += holders[size_t(block)] == 0;
    }
    ASSERT_EQ(pool.free_blocks(), free);
  }
}

}  // namespace
}  // namespace tenth::testing
