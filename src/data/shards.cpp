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

template <class Token>
int64_t copy_tokens(const std::byte* from, uint64_t vocab_size, std::span<int32_t> out) {
  int64_t wrong = -1;
  for (size_t i = 0; i < out.size(); i++) {
    Token token;
    std::memcpy(&token, from + i * sizeof token, sizeof token);
    if (token >= vocab_size) wrong = int64_t(token);
    out[i] = int32_t(token);
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

Shard::Shard(const Path& path) : file_(std::make_unique<MappedFile>(path)) {
  const auto bytes = file_->bytes();
  const std::string name = path.string();
  require(bytes.size() >= sizeof header_, ErrorKind::kInput,
          "{}: expected a token shard, got {} bytes, less than its header has: it was cut short; make it again", name,
          bytes.size());
  std::memcpy(&header_, bytes.data(), sizeof header_);
  require(std::memcmp(header_.magic, ShardHeader().magic, sizeof header_.magic) == 0, ErrorKind::kInput,
          "{}: expected a token shard, got another file: it does not begin with TENTHTOK", name);
  require(header_.header == header_hash(header_), ErrorKind::kInput,
          "{}: the header of this token shard is damaged: its hash does not match; make it again", name);
  require(header_.version == 1, ErrorKind::kUnsupported, "{}: expected a token shard of version 1, got {}", name,
          header_.version);
  const uint64_t most = bytes.size(), token_bytes = header_.token_bytes;
  require((token_bytes == 2 || token_bytes == 4) && header_.documents <= most && header_.tokens <= most &&
              header_.vocab_size <= uint64_t(INT32_MAX),
          ErrorKind::kInput, "{}: the token shard was cut short: {} bytes cannot hold {} documents with {} tokens",
          name, most, header_.documents, header_.tokens);
  const uint64_t expected = sizeof header_ + header_.documents * sizeof(uint32_t) + header_.tokens * token_bytes;
  require(bytes.size() == expected, ErrorKind::kInput,
          "{}: expected a token shard of {} bytes, got {}: it was cut short or grew; make it again", name, expected,
          bytes.size());
  lengths_ = {reinterpret_cast<const uint32_t*>(bytes.data() + sizeof header_), size_t(header_.documents)};
  tokens_ = bytes.data() + sizeof header_ + lengths_.size_bytes();
  const uint64_t sum = std::accumulate(lengths_.begin(), lengths_.end(), uint64_t(0));
  require(sum == header_.tokens, ErrorKind::kInput,
          "{}: the token shard is damaged: its documents have {} tokens together, its header says {}; make it again",
          name, sum, header_.tokens);
}

void Shard::copy(uint64_t begin, std::span<int32_t> out) const {
  require(begin <= header_.tokens && out.size() <= header_.tokens - begin, ErrorKind::kInternal,
          "{}: tokens {} to {} are outside", path().string(), begin, begin + out.size());
  const std::byte* from = tokens_ + begin * header_.token_bytes;
  const int64_t wrong = header_.token_bytes == 2 ? copy_tokens<uint16_t>(from, header_.vocab_size, out)
                                                 : copy_tokens<uint32_t>(from, header_.vocab_size, out);
  require(wrong < 0, ErrorKind::kInput, "{}: the token shard is damaged: expected ids below {}, got {}; make it again",
          path().string(), header_.vocab_size, wrong);
}

void Shard::verify() const {
  require(hash128(file_->bytes().subspan(sizeof header_)) == header_.payload, ErrorKind::kInput,
          "{}: the token shard is damaged: the hash of its tokens does not match; make it again", path().string());
}

}  // namespace tenth
