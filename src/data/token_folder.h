// A folder of token shards: manifest.json says what is in it; tokenizer.json is the tokenizer of its ids.
#pragma once
#include <vector>

#include "base/json.h"
#include "data/shards.h"

namespace tenth {

struct SourceFile {
  std::string file;  // as it was named
  int64_t bytes = 0;
  Hash128 hash;
  bool operator==(const SourceFile&) const = default;
};

std::vector<SourceFile> describe_sources(const std::vector<Path>& files);  // reads them
OrderedJson sources_json(const std::vector<SourceFile>& sources);

struct ShardEntry {
  std::string file;
  ShardHeader header;
};

struct Manifest {
  static constexpr const char* kFile = "manifest.json";

  int64_t vocab_size = 0;
  Hash128 tokenizer;  // of the file tokenizer.json
  int64_t documents = 0, tokens = 0, text_bytes = 0, longest_document = 0 /* tokens */;
  int64_t empty = 0, duplicates = 0, bad = 0;  // left out
  std::vector<SourceFile> sources;
  std::vector<ShardEntry> shards;

  OrderedJson json() const;
};

class TokenFolder {
 public:
  // Opens every shard of the manifest. Throws kInput with the file's name where one is missing, damaged in its header
  // or size, or another than the manifest names.
  explicit TokenFolder(const Path& folder);

  const Path& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }
  const std::vector<Shard>& shards() const { return shards_; }
  std::vector<uint32_t> lengths() const;  // of all documents, in tokens
  // Copies tokens [begin, begin + out.size()), counted over all shards; they must lie in one.
  void copy(uint64_t begin, std::span<int32_t> out) const;

 private:
  Path path_;
  Manifest manifest_;
  std::vector<Shard> shards_;
  std::vector<uint64_t> begins_;  // first token of each shard
};

}  // namespace tenth
