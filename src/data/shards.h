// Documents as token ids on disk. A shard is a file of whole documents:
//   ShardHeader (104 bytes, little endian), uint32 lengths[documents] in tokens, then the ids of all documents end to
//   end, uint16 where the vocabulary fits, else uint32.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/file_reader.h"
#include "base/hash.h"

namespace tenth {

struct ShardHeader {
  char magic[8] = {'T', 'E', 'N', 'T', 'H', 'T', 'O', 'K'};
  uint32_t version = 1;
  uint32_t token_bytes = 2;  // 2 or 4
  uint64_t documents = 0, tokens = 0;
  uint64_t text_bytes = 0;  // of the documents, before they were tokens
  uint64_t vocab_size = 0;  // ids are below
  Hash128 tokenizer;        // of the file tokenizer.json
  Hash128 texts;            // of the documents' text: which part of the sources this is
  Hash128 payload;          // of all behind the header
  uint64_t header = 0;      // XXH3 of all before it
};
static_assert(sizeof(ShardHeader) == 104);

// Writes a shard, whole or not at all. header: its fields tokenizer, texts, text_bytes and vocab_size; the others are
// filled in. Returns it. Throws kIo.
ShardHeader write_shard(const Path& path, ShardHeader header, const std::vector<std::vector<int32_t>>& documents);

// A shard that is read where its tokens are wanted.
class Shard {
 public:
  // Checks the header, the file's size and the lengths. Throws kIo, and kInput with the file's name for what is no
  // shard, was cut short or damaged there.
  explicit Shard(const Path& path);

  const ShardHeader& header() const { return header_; }
  const Path& path() const { return file_.path(); }
  const std::vector<uint32_t>& lengths() const { return lengths_; }
  // Copies tokens [begin, begin + out.size()) of the shard. Throws kInput for an id outside the vocabulary, kIo.
  void copy(uint64_t begin, std::span<int32_t> out) const;
  // Whether the payload is what was written; reads the whole file.
  void verify() const;  // throws kInput where it is not

 private:
  FileReader file_;
  ShardHeader header_;
  std::vector<uint32_t> lengths_;
};

}  // namespace tenth
