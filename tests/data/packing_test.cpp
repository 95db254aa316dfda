#include "data/packing.h"

#include "data_util.h"

namespace tenth::testing {
namespace {

std::vector<uint32_t> draw_lengths(int n, uint64_t longest) {
  Rng rng(5);
  std::vector<uint32_t> lengths;
  for (int i = 0; i < n; i++) lengths.push_back(uint32_t(2 + rng.below(rng.chance(0.1) ? longest : longest / 20)));
  return lengths;
}

TEST(Packing, EachTokenButTheFirstIsATargetOnce) {
  const auto lengths = draw_lengths(500, 1000);
  for (const uint32_t context : {2u, 3u, 64u, 128u, 4096u}) {
    SCOPED_TRACE(context);
    const Packing packing(lengths, context);
    std::vector<uint64_t> begins;
    uint64_t tokens = 0;
    for (const uint32_t length : lengths) {
      begins.push_back(tokens);
      tokens += length;
    }
    std::vector<int> targets(tokens);
    int64_t sum = 0;
    for (int64_t row = 0; row < packing.rows(); row++) {
      uint32_t used = 0;
      for (const auto& piece : packing.row(row)) {
        ASSERT_GE(piece.begin, begins[piece.document]);
        ASSERT_LE(piece.begin + piece.length, begins[piece.document] + lengths[piece.document]);
        ASSERT_EQ(piece.length == lengths[piece.document], lengths[piece.document] <= context);
        for (uint32_t i = 1; i < piece.length; i++) targets[piece.begin + i]++;
        used += piece.length;
      }
      ASSERT_GT(used, 0u);
      ASSERT_LE(used, context);
      sum += used;
    }
    EXPECT_EQ(sum, packing.tokens());
    for (size_t i = 0; i < lengths.size(); i++)
      for (uint32_t k = 0; k < lengths[i]; k++) ASSERT_EQ(targets[begins[i] + k], k > 0);
  }
}

TEST(Packing, FillsRows) {
  const Packing packing(draw_lengths(2000, 1000), 512);
  EXPECT_GT(double(packing.tokens()) / double(packing.rows() * 512), 0.995);
  // By hand: 5+3, 4+4, 2.
  EXPECT_EQ(Packing(std::vector<uint32_t>{4, 3, 5, 2, 4}, 8).rows(), 3);
}

TEST(Packing, Edges) {
  EXPECT_EQ(Packing({}, 8).rows(), 0);
  EXPECT_EQ(Packing(std::vector<uint32_t>{0, 1, 1}, 8).rows(), 0);
  expect_in("context: expected 2", error_text([] { Packing({}, 1); }));
}

}  // namespace
}  // namespace tenth::testing
