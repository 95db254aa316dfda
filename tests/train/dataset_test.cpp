// Shards and conversations as batches for training.
#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "data/prepare.h"
#include "tiny_run.h"
#include "train/chat_dataset.h"
#include "train/token_dataset.h"

namespace tenth::testing {
namespace {

std::shared_ptr<const TokenMixture> small_mixture(const TempFolder& folder) {
  std::string lines;
  for (int i = 0; i < 50; i++) {
    std::string text;
    Rng rng(1, uint64_t(i));
    for (int k = int(rng.below(300)); k >= 0; k--) text += char('a' + rng.below(26));
    lines += Json{{"text", text}}.dump() + "\n";
  }
  write_file(folder / "a.jsonl", lines);
  const PrepareSettings settings{.files = {folder / "a.jsonl"}, .out = folder / "a", .vocab_size = 264};
  prepare_tokenizer(settings);
  prepare_shards(settings);
  return std::make_shared<TokenMixture>(MixtureSettings{.folders = {folder / "a"}, .context = 100, .seed = 5});
}

TEST(TokenDataset, ScoresAllButTheFirstTokens) {
  const TempFolder folder;
  const auto mixture = small_mixture(folder);
  const Examples examples = TokenDataset(mixture, 6).batch(2);
  const TokenRows rows = mixture->rows(12, 6);
  EXPECT_EQ(examples.ids, rows.ids);
  EXPECT_EQ(examples.lengths, rows.lengths);
  size_t at = 0;
  for (const int32_t length : examples.lengths) {
    EXPECT_LE(length, 100);
    for (int32_t i = 0; i < length; i++) EXPECT_EQ(examples.scored[at++], i > 0);
  }
  EXPECT_EQ(at, examples.ids.size());
}

TEST(TokenDataset, RanksShareABatch) {
  const TempFolder folder;
  const auto mixture = small_mixture(folder);
  EXPECT_EQ(TokenDataset(mixture, 6, 1, 3).batch(2).ids, mixture->rows(13, 2, 3).ids);
  for (const int64_t count : {5, 1, 0}) {
    int64_t tokens = 0;
    for (int64_t rank = 0; rank < 3; rank++) tokens += TokenDataset(mixture, 6, rank, 3).rows(7, count).tokens();
    EXPECT_EQ(tokens, int64_t(mixture->rows(7, count).ids.size()));
  }
  EXPECT_THROW(TokenDataset(mixture, 5, 0, 2), Error);
}

TEST(ChatDataset, EachEpochHoldsEachConversationOnceWithItsScores) {
  std::vector<EncodedChat> chats;
  for (int i = 0; i < 30; i++) {
    EncodedChat chat;
    for (int k = 0; k < 3 + i % 7; k++) {
      chat.ids.push_back(100 * i + k);
      chat.written.push_back(k >= 2);
    }
    chats.push_back(chat);
  }
  const ChatDataset dataset(chats, 20, 1, 3);
  const auto epoch = [&](int64_t number) {
    std::map<int, int> seen;
    std::vector<int32_t> order;
    for (int64_t row = 0; row < dataset.epoch_rows(); row++) {
      const Examples examples = dataset.batch(number * dataset.epoch_rows() + row);
      EXPECT_LE(examples.tokens(), 20);
      size_t at = 0;
      for (const int32_t length : examples.lengths) {
        const EncodedChat& chat = chats[size_t(examples.ids[at] / 100)];
        seen[examples.ids[at] / 100]++;
        EXPECT_EQ(size_t(length), chat.ids.size());
        for (int32_t i = 0; i < length; i++, at++) {
          EXPECT_EQ(examples.ids[at], chat.ids[size_t(i)]);
          EXPECT_EQ(examples.scored[at], chat.written[size_t(i)]);
        }
      }
      order.insert(order.end(), examples.ids.begin(), examples.ids.end());
    }
    EXPECT_EQ(seen.size(), chats.size());
    return order;
  };
  EXPECT_NE(epoch(0), epoch(1));
  EXPECT_EQ(epoch(1), epoch(1));
  EXPECT_EQ(ChatDataset(chats, 20, 4, 3, 1, 2).batch(3).ids.size(),
            dataset.batch(13).ids.size() + dataset.batch(15).ids.size());
}

}  // namespace
}  // namespace tenth::testing
