// libFuzzer: a folder's manifest and, behind a byte 0xFF, a token shard. They are refused; or every row of the folder
// has tokens of the vocabulary, at most as many as asked for, and all of them together are what the documents have.
// Hashes that stand in the way are set right: whoever makes such files can do so too.
#include <cstring>

#include "data/token_mixture.h"
#include "fuzz.h"

namespace tenth {
namespace {

constexpr const char* kShard = "tokens.shard";

std::string with_right_hashes(std::string_view bytes) {
  std::string shard(bytes);
  if (shard.size() < sizeof(ShardHeader)) return shard;
  ShardHeader header;
  std::memcpy(&header, shard.data(), sizeof header);
  std::memcpy(header.magic, ShardHeader().magic, sizeof header.magic);
  header.payload = hash128(std::string_view(shard).substr(sizeof header));
  const auto covered = std::as_bytes(std::span(&header, 1)).first(offsetof(ShardHeader, header));
  header.header = hash128(covered).low;
  std::memcpy(shard.data(), &header, sizeof header);
  return shard;
}

void read_rows(const Path& folder, uint32_t context) {
  const TokenMixture text({.folders = {folder}, .context = context, .seed = 1});
  int64_t tokens = 0;
  for (int64_t row = 0; row < text.epoch_rows(); row++) {
    const TokenRows rows = text.rows(row, 1);
    int64_t sum = 0;
    for (const int32_t length : rows.lengths) sum += length;
    fuzz::must(sum == int64_t(rows.ids.size()) && sum <= context && sum > 0);
    for (const int32_t id : rows.ids) fuzz::must(id >= 0 && id < text.vocab_size());
    tokens += sum;
  }
  int64_t expected = 0;  // pieces of a document share a token with their neighbours
  for (const int64_t length : text.folders()[0].lengths())
    if (length >= 2) expected += length + (length - 2) / (int64_t(context) - 1);
  fuzz::must(tokens == expected);
}

void blamed(const auto& work) {
  try {
    work();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kIo) fuzz::must_blame_input(error);  // a manifest may name a file that is not there
  }
}

}  // namespace
}  // namespace tenth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static fuzz::MemoryFolder folder;
  const auto [manifest, shard] = fuzz::two_parts(data, size);
  folder.put(kShard, with_right_hashes(shard));
  folder.put(Manifest::kFile, manifest);
  blamed([&] { read_rows(folder.path(), 8); });
  blamed([&] {
    const Shard read(folder.path() / kShard);
    read.verify();
    const ShardHeader& header = read.header();
    Manifest own{.vocab_size = int64_t(header.vocab_size),
                 .tokenizer = header.tokenizer,
                 .documents = int64_t(header.documents),
                 .tokens = int64_t(header.tokens),
                 .sources = {},
                 .shards = {{kShard, header}}};
    folder.put(Manifest::kFile, own.json().dump());
    for (const uint32_t context : {2u, 9u, 1u << 30}) blamed([&] { read_rows(folder.path(), context); });
  });
  return 0;
}
