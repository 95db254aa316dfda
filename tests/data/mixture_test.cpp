// Rows of a mixture: each piece once an epoch, the same after a jump, for any number of ranks.
#include <cmath>
#include <set>

#include "data/token_mixture.h"
#include "data_util.h"

namespace tenth::testing {
namespace {

class Mixture : public DataTest {
 protected:
  Mixture() {
    a_ = make("a", 0, 120);
    b_ = make("b", 200, 230);
  }
  Path make(const std::string& name, int from, int to) const {
    PrepareSettings settings{.files = {put(name + ".jsonl", documents(from, to, 60))},
                             .out = folder_ / name,
                             .vocab_size = 330,
                             .shard_bytes = 5000};
    if (name == "a")
      prepare_tokenizer(settings);
    else
      copy_tokenizer(a_, settings.out);
    prepare_shards(settings);
    return settings.out;
  }
  static Hash128 hash_of(const TokenRows& rows) {
    return hash128(fmt::format("{}{}", hash128(std::as_bytes(std::span(rows.ids))).hex(),
                               hash128(std::as_bytes(std::span(rows.lengths))).hex()));
  }
  // The sequences of rows, each as its ids.
  static std::multiset<std::vector<int32_t>> sequences(const TokenRows& rows) {
    std::multiset<std::vector<int32_t>> all;
    auto at = rows.ids.begin();
    for (const int32_t length : rows.lengths) {
      all.insert(std::vector<int32_t>(at, at + length));
      at += length;
    }
    return all;
  }

  Path a_, b_;
};

TEST_F(Mixture, AnEpochHoldsEachPieceOnceAndTheNextIsShuffledAnew) {
  const TokenMixture mixture({.folders = {a_}, .context = 64, .seed = 3});
  const int64_t rows = mixture.epoch_rows();
  ASSERT_GT(rows, 20);
  const TokenRows first = mixture.rows(0, rows), second = mixture.rows(rows, rows);
  EXPECT_EQ(sequences(first), sequences(second));
  EXPECT_NE(first.ids, second.ids);
  const TokenMixture other({.folders = {a_}, .context = 64, .seed = 4});
  EXPECT_NE(other.rows(0, rows).ids, first.ids);
  const TokenMixture plain({.folders = {a_}, .context = 64, .shuffle = false});
  EXPECT_EQ(sequences(plain.rows(0, rows)), sequences(first));
  EXPECT_EQ(plain.rows(0, rows).ids, plain.rows(rows, rows).ids);
  int64_t targets = 0;
  for (const int32_t length : first.lengths) targets += length - 1;
  EXPECT_EQ(targets, mixture.folders()[0].manifest().tokens - mixture.folders()[0].manifest().documents);
  EXPECT_GT(mixture.fill(), 0.9);
}

TEST_F(Mixture, AJumpGivesTheRowsOfTheUninterruptedRun) {
  for (const auto& folders : {std::vector<Path>{a_}, std::vector<Path>{a_, b_}}) {
    const MixtureSettings settings{.folders = folders, .context = 64, .seed = 3};
    const TokenMixture whole(settings);
    std::vector<Hash128> hashes;
    for (int64_t batch = 0; batch < 40; batch++) hashes.push_back(hash_of(whole.rows(batch * 4, 4)));
    for (const int64_t batch : {39, 7, 0, 23, 8}) {
      const TokenMixture again(settings);
      EXPECT_EQ(hash_of(again.rows(batch * 4, 4)), hashes[size_t(batch)]);
      EXPECT_EQ(again.fingerprint(), whole.fingerprint());
    }
  }
}

TEST_F(Mixture, RanksShareABatchThatDoesNotDependOnThem) {
  const TokenMixture mixture({.folders = {a_, b_}, .context = 64, .seed = 3});
  for (const int64_t batch : {0, 5}) {
    const auto expected = sequences(mixture.rows(batch * 12, 12));
    for (const int64_t ranks : {1, 2, 3, 4}) {
      std::multiset<std::vector<int32_t>> got;
      for (int64_t rank = 0; rank < ranks; rank++)
        got.merge(sequences(mixture.rows(batch * 12 + rank, 12 / ranks, ranks)));
      EXPECT_EQ(got, expected);
    }
  }
}

TEST_F(Mixture, WeightsAreSharesOfTheRows) {
  const TokenMixture only_b({.folders = {b_}, .context = 64});
  const auto of_b = sequences(only_b.rows(0, only_b.epoch_rows()));
  const auto share_of_b = [&](const std::vector<double>& weights, int64_t first, int64_t count) {
    const TokenMixture mixture({.folders = {a_, b_}, .weights = weights, .context = 64, .seed = 9});
    int64_t hits = 0;
    for (int64_t row = first; row < first + count; row++) {
      const TokenRows one = mixture.rows(row, 1);
      hits += of_b.count({one.ids.begin(), one.ids.begin() + one.lengths[0]}) > 0;
    }
    return double(hits) / double(count);
  };
  EXPECT_DOUBLE_EQ(share_of_b({3, 1}, 0, 4096), 0.25);  // exact over a block
  EXPECT_DOUBLE_EQ(share_of_b({3, 1}, 8192, 4096), 0.25);
  EXPECT_NEAR(share_of_b({3, 1}, 100, 400), 0.25, 0.08);
  EXPECT_NEAR(share_of_b({1, 1e-9}, 0, 4096), 1.0 / 4096, 1e-9);
  const TokenMixture only_a({.folders = {a_}, .context = 64});
  const double natural = double(only_b.epoch_rows()) / double(only_a.epoch_rows() + only_b.epoch_rows());
  EXPECT_NEAR(share_of_b({}, 0, 4096), natural, 1e-3);
}

TEST_F(Mixture, FingerprintTellsDataAndSettings) {
  const auto fingerprint = [](MixtureSettings settings) { return TokenMixture(settings).fingerprint(); };
  const MixtureSettings settings{.folders = {a_, b_}, .context = 64, .seed = 3};
  std::set<Hash128> all = {fingerprint(settings)};
  MixtureSettings other = settings;
  other.seed = 4;
  all.insert(fingerprint(other));
  other = settings;
  other.context = 65;
  all.insert(fingerprint(other));
  other = settings;
  other.weights = {1, 7};
  all.insert(fingerprint(other));
  other = settings;
  other.folders = {b_, a_};
  all.insert(fingerprint(other));
  EXPECT_EQ(all.size(), 5u);
}

TEST_F(Mixture, WrongSettings) {
  const auto error = [](const MixtureSettings& settings) { return error_text([&] { TokenMixture{settings}; }); };
  expect_in("expected one or more folders", error({}));
  expect_in("weights: expected 2, one a folder, got 1", error({.folders = {a_, b_}, .weights = {1}}));
  for (const double bad : {0.0, -1.0, double(NAN), double(INFINITY)})
    expect_in("weights: expected positive numbers", error({.folders = {a_, b_}, .weights = {1, bad}}));
  PrepareSettings settings{.files = {put("c.jsonl", documents(300, 310, 60))}, .out = folder_ / "c", .vocab_size = 300};
  prepare_tokenizer(settings);
  prepare_shards(settings);
  expect_in("expected tokens of the same tokenizer", error({.folders = {a_, settings.out}}));
  settings.files = {put("empty.jsonl", "")};
  prepare_shards(settings);
  expect_in("expected tokens to train on, got none", error({.folders = {settings.out}}));
}

}  // namespace
}  // namespace tenth::testing
