#include "base/permutation.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/hash.h"

namespace tenth {
namespace {

TEST(Permutation, TakesEachPlaceOnce) {
  for (const uint64_t n : {1u, 2u, 3u, 4u, 5u, 15u, 16u, 17u, 1000u, 4096u}) {
    const Permutation order(n, 7, 9);
    std::vector<int> hits(n);
    for (uint64_t i = 0; i < n; i++) hits.at(order(i))++;
    for (const int hit : hits) EXPECT_EQ(hit, 1) << n;
  }
}

TEST(Permutation, DependsOnSeedAndStreamAndMixes) {
  const uint64_t n = 10000;
  const Permutation order(n, 1, 1), seed(n, 2, 1), stream(n, 1, 2);
  int same_seed = 0, same_stream = 0, fixed = 0;
  double distance = 0;
  for (uint64_t i = 0; i < n; i++) {
    same_seed += order(i) == seed(i);
    same_stream += order(i) == stream(i);
    fixed += order(i) == i;
    distance += std::abs(double(order(i)) - double(i)) / double(n);
  }
  // One hit each is expected; the mean distance of a random permutation is n / 3.
  EXPECT_LT(same_seed + same_stream + fixed, 20);
  EXPECT_NEAR(distance / double(n), 1.0 / 3, 0.02);
}

TEST(Hash128, IsXxh3) {
  // The vector of the empty input in xxHash's documentation.
  EXPECT_EQ(hash128("").hex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(hash128("a"), hash128("b"));
}

}  // namespace
}  // namespace tenth
