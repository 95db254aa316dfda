#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace tenth {
namespace {

struct ThreadsTest : testing::Test {
  void TearDown() override { set_thread_count(before_); }
  int before_ = thread_count();
};

TEST_F(ThreadsTest, EveryItemOnce) {
  for (int threads : {1, 2, 4, 7}) {
    set_thread_count(threads);
    for (int64_t n : {0, 1, 2, 3, 100, 1001}) {
      std::vector<std::atomic<int>> hits(static_cast<size_t>(n));
      parallel_for(n, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) hits[size_t(i)]++;
      });
      parallel_each(n, [&](int64_t i) { hits[size_t(i)] += 10; });
      for (auto& hit : hits) ASSERT_EQ(hit, 11) << n << " items, " << threads << " threads";
    }
  }
}

TEST_F(ThreadsTest, ManySmallLoopsInARow) {
  set_thread_count(4);
  std::atomic<int64_t> sum = 0;
  for (int loop = 0; loop < 20000; loop++) parallel_each(5, [&](int64_t i) { sum += i; });
  EXPECT_EQ(sum, 20000 * 10);
}

// A thread that comes late to the end of one loop must not claim a part of the next, longer one with the old ticket:
// the part would run twice. (Without the pool's closed ticket, about once in a million loops of changing length.)
TEST_F(ThreadsTest, LoopsOfChangingLengthRunEveryPartOnce) {
  set_thread_count(2);
  for (int64_t loop = 0; loop < 300'000; loop++) {
    const int64_t n = 2 + loop * 7 % 31;
    std::atomic<int> hits[40] = {};
    parallel_each(n, [&](int64_t i) { hits[i].fetch_add(1, std::memory_order_relaxed); });
    for (int64_t i = 0; i < n; i++) ASSERT_EQ(hits[i], 1) << "part " << i << " of loop " << loop;
  }
}

TEST_F(ThreadsTest, NestedLoopsAndOtherCallersRunToTheEnd) {
  set_thread_count(3);
  std::atomic<int64_t> sum = 0;
  const auto work = [&] {
    for (int loop = 0; loop < 200; loop++) {
      parallel_each(4, [&](int64_t) { parallel_for(10, 1, [&](int64_t begin, int64_t end) { sum += end - begin; }); });
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(sum, 2 * 200 * 40);
}

TEST_F(ThreadsTest, AnExceptionReachesTheCaller) {
  set_thread_count(4);
  for (int loop = 0; loop < 50; loop++) {
    EXPECT_THROW(parallel_each(20,
                               [](int64_t i) {
                                 if (i == 13) throw std::runtime_error("thirteen");
                               }),
                 std::runtime_error);
  }
  std::atomic<int> count = 0;
  parallel_each(20, [&](int64_t) { count++; });
  EXPECT_EQ(count, 20);
}

}  // namespace
}  // namespace tenth
