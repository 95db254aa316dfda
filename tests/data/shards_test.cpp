#include "data/shards.h"

#include "data_util.h"

namespace tenth::testing {
namespace {

class Shards : public DataTest {
 protected:
  static constexpr int64_t kVocab = 300;
  const std::vector<std::vector<int32_t>> documents_ = {{1, 2, 299}, {5}, {}, {7, 8, 9, 10}};
  Path write(int64_t vocab_size = kVocab) const {
    ShardHeader header;
    header.vocab_size = uint64_t(vocab_size);
    header.text_bytes = 33;
    header.texts = hash128("texts");
    write_shard(folder_ / "s.bin", header, documents_);
    return folder_ / "s.bin";
  }
};

TEST_F(Shards, RoundTrip) {
  for (const int64_t vocab : {int64_t(300), int64_t(65536), int64_t(65537)}) {
    const Shard shard(write(vocab));
    EXPECT_EQ(shard.header().token_bytes, vocab <= 65536 ? 2u : 4u);
    EXPECT_EQ(shard.header().documents, 4u);
    EXPECT_EQ(shard.header().texts, hash128("texts"));
    EXPECT_EQ(std::vector<uint32_t>(shard.lengths().begin(), shard.lengths().end()),
              (std::vector<uint32_t>{3, 1, 0, 4}));
    std::vector<int32_t> ids(8);
    shard.copy(0, ids);
    EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 299, 5, 7, 8, 9, 10}));
    EXPECT_NO_THROW(shard.verify());
  }
}

TEST_F(Shards, EveryFlippedBitIsFound) {
  const std::string whole = read_file(write());
  for (size_t bit = 0; bit < 8 * whole.size(); bit++) {
    std::string bytes = whole;
    bytes[bit / 8] = char(bytes[bit / 8] ^ (1 << bit % 8));
    const Path file = put("flipped.bin", bytes);
    expect_in("flipped.bin", error_text([&] { Shard(file).verify(); }));
  }
}

TEST_F(Shards, EveryCutIsFoundWhenOpened) {
  const std::string whole = read_file(write());
  for (size_t length = 0; length < whole.size(); length++)
    expect_in("cut.bin", error_text([&] { Shard(put("cut.bin", whole.substr(0, length))); }));
  expect_in("grew", error_text([&] { Shard(put("long.bin", whole + "x")); }));
  expect_in("No such file", error_text([&] { Shard(folder_ / "none.bin"); }));
}

TEST_F(Shards, AFileThatIsCutWhileItIsReadIsAnError) {
  const Shard shard(write());
  std::filesystem::resize_file(folder_ / "s.bin", 130);
  std::vector<int32_t> ids(8);
  expect_in("cut short while it was in use", error_text([&] { shard.copy(0, ids); }));
}

TEST_F(Shards, IdsOutsideTheVocabularyAreNoTokens) {
  std::string bytes = read_file(write());
  bytes[bytes.size() - 1] = 0x7f;
  const Path file = put("s.bin", bytes);
  std::vector<int32_t> ids(8);
  expect_in("expected ids below 300, got 32522", error_text([&] { Shard(file).copy(0, ids); }));
}

}  // namespace
}  // namespace tenth::testing
