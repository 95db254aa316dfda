#include "data/shards.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace tenth {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are written as they lie in memory");

uint64_t header_hash(const ShardHeader& header) {
  return hash128(std::as_bytes(std::span(&header, 1)).first(offsetof(ShardHeader, header))).low;
}

template <class Token>
std::string payload_of(const std::vector<std::vector<int32_t>>& documents, uint64_t tokens) {
  std::string bytes(documents.size() * sizeof(uint32_t) + tokens * sizeof(Token), '\0');
  char* at = bytes.data();
  for (const auto& document : documents) {
    const auto length = uint32_t(document.size());
    std::memcpy(at, &length, sizeof length);
    at += sizeof length;
  }
  for (const auto& document : documents) {
    for (const int32_t id : document) {
      const auto token = Token(id);
      std::memcpy(at, &token, sizeof token);
      at += sizeof token;
    }
  }
  return bytes;
}

// Reads ids of the type in which they are stored; any one outside the vocabulary, or -1.
template <class Token>
int64_t read_tokens(const FileReader& file, size_t at, uint64_t vocab_size, std::span<int32_t> out) {
  std::vector<Token> tokens(out.size());
  file.read(at, std::as_writable_bytes(std::span(tokens)));
  int64_t wrong = -1;
  for (size_t i = 0; i < out.size(); i++) {
    if (tokens[i] >= vocab_size) wrong = int64_t(tokens[i]);
    out[i] = int32_t(tokens[i]);
  }
  return wrong;
}

}  // namespace

ShardHeader write_shard(const Path& path, ShardHeader header, const std::vector<std::vector<int32_t>>& documents) {
  header.token_bytes = header.vocab_size <= 65536 ? 2 : 4;
  header.documents = documents.size();
  header.tokens = 0;
  for (const auto& document : documents) header.tokens += document.size();
  const std::string payload = header.token_bytes == 2 ? payload_of<uint16_t>(documents, header.tokens)
                                                      : payload_of<uint32_t>(documents, header.tokens);
  header.payload = hash128(payload);
  header.header = header_hash(header);
  write_file(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span(&header, 1)));
    sink(std::as_bytes(std::span(payload)));
  });
  return header;
}

Shard::Shard(const Path& path) : file_(path) {
  const std::string name = path.string();
  const uint64_t bytes = file_.size();
  require(bytes >= sizeof header_, ErrorKind::kInput,
          "{}: expected a token shard, got {} bytes, less than its header has: it was cut short; make it again", name,
          bytes);
  file_.read(0, std::as_writable_bytes(std::span(&header_, 1)));
  require(std::memcmp(header_.magic, ShardHeader().magic, sizeof header_.magic) == 0, ErrorKind::kInput,
          "{}: expected a token shard, got another file: it does not begin with TENTHTOK", name);
  require(header_.header == header_hash(header_), ErrorKind::kInput,
          "{}: the header of this token shard is damaged: its hash does not match; make it again", name);
  require(header_.version == 1, ErrorKind::kUnsupported, "{}: expected a token shard of version 1, got {}", name,
          header_.version);
  const uint64_t token_bytes = header_.token_bytes;
  require((token_bytes == 2 || token_bytes == 4) && header_.documents <= bytes && header_.tokens <= bytes &&
              header_.vocab_size <= uint64_t(INT32_MAX),
          ErrorKind::kInput, "{}: the token shard was cut short: {} bytes cannot hold {} documents with {} tokens",
          name, bytes, header_.documents, header_.tokens);
  const uint64_t expected = sizeof header_ + header_.documents * sizeof(uint32_t) + header_.tokens * token_bytes;
  require(bytes == expected, ErrorKind::kInput,
          "{}: expected a token shard of {} bytes, got {}: it was cut short or grew; make it again", name, expected,
          bytes);
  lengths_.resize(header_.documents);
  file_.read(sizeof header_, std::as_writable_bytes(std::span(lengths_)));
  const uint64_t sum = std::accumulate(lengths_.begin(), lengths_.end(), uint64_t(0));
  require(sum == header_.tokens, ErrorKind::kInput,
          "{}: the token shard is damaged: its documents have {} tokens together, its header says {}; make it again",
          name, sum, header_.tokens);
}

void Shard::copy(uint64_t begin, std::span<int32_t> out) const {
  require(begin <= header_.tokens && out.size() <= header_.tokens - begin, ErrorKind::kInternal,
          "{}: tokens {} to {} are outside", path().string(), begin, begin + out.size());
  const size_t at = sizeof header_ + lengths_.size() * sizeof(uint32_t) + begin * header_.token_bytes;
  const int64_t wrong = header_.token_bytes == 2 ? read_tokens<uint16_t>(file_, at, header_.vocab_size, out)
                                                 : read_tokens<uint32_t>(file_, at, header_.vocab_size, out);
  require(wrong < 0, ErrorKind::kInput, "{}: the token shard is damaged: expected ids below {}, got {}; make it again",
          path().string(), header_.vocab_size, wrong);
}

void Shard::verify() const {
  std::vector<std::byte> payload(file_.size() - sizeof header_);
  file_.read(sizeof header_, payload);
  require(hash128(payload) == header_.payload, ErrorKind::kInput,
          "{}: the token shard is damaged: the hash of its tokens does not match; make it again", path().string());
}

}  // namespace tenth
