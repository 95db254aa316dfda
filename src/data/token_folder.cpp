#include "data/token_folder.h"

#include <algorithm>

#include "base/error.h"
#include "tokenizer/field.h"

namespace tenth {
namespace {

Hash128 read_hash(const Field& field) {
  const std::string& text = field.string();
  if (text.size() != 32 || text.find_first_not_of("0123456789abcdef") != text.npos) field.wrong("32 hex digits");
  return {std::stoull(text.substr(16), nullptr, 16), std::stoull(text.substr(0, 16), nullptr, 16)};
}

int64_t read_count(const Field& field) { return field.integer(0, INT64_MAX); }

std::vector<SourceFile> read_sources(const Field& list) {
  std::vector<SourceFile> sources;
  for (size_t i = 0; i < list.size(); i++) {
    const Field source = list.at(i);
    sources.push_back({source.at("file").string(), read_count(source.at("bytes")), read_hash(source.at("xxh128"))});
  }
  return sources;
}

ShardEntry read_shard(const Field& field) {
  ShardEntry entry{.file = field.at("file").string(), .header = {}};
  if (entry.file.empty() || Path(entry.file).filename() != entry.file) field.at("file").wrong("the name of a file");
  entry.header.documents = uint64_t(read_count(field.at("documents")));
  entry.header.tokens = uint64_t(read_count(field.at("tokens")));
  entry.header.payload = read_hash(field.at("xxh128"));
  return entry;
}

Manifest read_manifest(const Field& root) {
  if (root.at("format").string() != "tenth tokens") root.at("format").wrong("\"tenth tokens\"");
  require(root.at("version").integer(0, INT32_MAX) == 1, ErrorKind::kUnsupported, "{}: expected version 1, got {}",
          root.where(), root.at("version").json().dump());
  Manifest manifest{.vocab_size = read_count(root.at("vocab_size")),
                    .tokenizer = read_hash(root.at("tokenizer_xxh128")),
                    .documents = read_count(root.at("documents")),
                    .tokens = read_count(root.at("tokens")),
                    .text_bytes = read_count(root.at("text_bytes")),
                    .longest_document = read_count(root.at("longest_document")),
                    .empty = read_count(root.at("empty")),
                    .duplicates = read_count(root.at("duplicates")),
                    .bad = read_count(root.at("bad")),
                    .sources = read_sources(root.at("sources")),
                    .shards = {}};
  const Field shards = root.at("shards");
  for (size_t i = 0; i < shards.size(); i++) manifest.shards.push_back(read_shard(shards.at(i)));
  return manifest;
}

}  // namespace

std::vector<SourceFile> describe_sources(const std::vector<Path>& files) {
  std::vector<SourceFile> sources;
  for (const Path& file : files)
    sources.push_back({file.string(), int64_t(std::filesystem::file_size(file)), hash128_of_file(file)});
  return sources;
}

OrderedJson sources_json(const std::vector<SourceFile>& sources) {
  OrderedJson list = OrderedJson::array();
  for (const SourceFile& source : sources)
    list.push_back({{"file", source.file}, {"bytes", source.bytes}, {"xxh128", source.hash.hex()}});
  return list;
}

OrderedJson Manifest::json() const {
  OrderedJson list = OrderedJson::array();
  for (const ShardEntry& shard : shards)
    list.push_back({{"file", shard.file},
                    {"documents", shard.header.documents},
                    {"tokens", shard.header.tokens},
                    {"text_bytes", shard.header.text_bytes},
                    {"xxh128", shard.header.payload.hex()}});
  return {{"format", "tenth tokens"},
          {"version", 1},
          {"vocab_size", vocab_size},
          {"tokenizer_xxh128", tokenizer.hex()},
          {"documents", documents},
          {"tokens", tokens},
          {"text_bytes", text_bytes},
          {"longest_document", longest_document},
          {"empty", empty},
          {"duplicates", duplicates},
          {"bad", bad},
          {"sources", sources_json(sources)},
          {"shards", std::move(list)}};
}

TokenFolder::TokenFolder(const Path& folder) : path_(folder) {
  const Path file = folder / Manifest::kFile;
  require(std::filesystem::exists(file), ErrorKind::kInput,
          "{}: expected a folder of token shards, got none: {} is not there (tenth data prepare makes it, last of all)",
          folder.string(), Manifest::kFile);
  const Json json = read_json(file);
  manifest_ = read_manifest(Field(json, file.string()));
  uint64_t tokens = 0;
  for (const ShardEntry& entry : manifest_.shards) {
    const Shard& shard = shards_.emplace_back(folder / entry.file);
    const ShardHeader& header = shard.header();
    require(header.payload == entry.header.payload && header.tokens == entry.header.tokens &&
                header.documents == entry.header.documents && header.tokenizer == manifest_.tokenizer &&
                header.vocab_size == uint64_t(manifest_.vocab_size),
            ErrorKind::kInput, "{}: expected the token shard that {} names, got another one; make the folder again",
            shard.path().string(), Manifest::kFile);
    begins_.push_back(tokens);
    tokens += header.tokens;
  }
  require(tokens == uint64_t(manifest_.tokens), ErrorKind::kInput,
          "{}: tokens: expected {}, as the shards have, got {}", file.string(), tokens, manifest_.tokens);
}

std::vector<uint32_t> TokenFolder::lengths() const {
  std::vector<uint32_t> lengths;
  for (const Shard& shard : shards_) lengths.insert(lengths.end(), shard.lengths().begin(), shard.lengths().end());
  return lengths;
}

void TokenFolder::copy(uint64_t begin, std::span<int32_t> out) const {
  const auto behind = std::upper_bound(begins_.begin(), begins_.end(), begin);
  const auto index = size_t(behind - begins_.begin()) - 1;
  shards_[index].copy(begin - begins_[index], out);
}

}  // namespace tenth
