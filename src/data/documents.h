// The documents of text files, one after another in bounded memory: a .txt file is a document; of .jsonl and .jsonl.zst
// each line {"text": …} is one (other fields are not looked at).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "data/lines.h"

namespace tenth {

struct DocumentCounts {
  int64_t documents = 0;   // handed out
  int64_t text_bytes = 0;  // of these
  int64_t empty = 0;       // left out: no text
  int64_t duplicates = 0;  // left out: the same text as an earlier one
  int64_t bad = 0;         // left out: broken (with skip_bad)
  std::string first_bad;   // what was wrong with the first of these
};

class DocumentReader {
 public:
  static constexpr size_t kMaxTextFile = size_t(1) << 30;  // bytes of a .txt file

  // Throws kInput for a name that ends otherwise, and kIo for a file that is not there, before anything is read.
  DocumentReader(std::vector<Path> files, bool skip_bad);

  // The next document that is neither empty nor the copy of an earlier one; false at the end. What is broken (a line
  // that is no JSON, without text, not UTF-8 or too long; packed data that is damaged) throws kInput with file, line
  // and what was expected, or is counted and left out with skip_bad: of damaged packed data all that follows it.
  bool next(std::string& text);

  const DocumentCounts& counts() const { return counts_; }
  int64_t bytes_read() const;  // of the files
  int64_t bytes() const { return bytes_; }

 private:
  bool read_one(std::string& text);  // false: nothing more in the open file
  bool read_line(std::string& text);
  void read_text_file(std::string& text);

  std::vector<Path> files_;
  bool skip_bad_;
  size_t file_ = 0;  // the next one to open
  std::unique_ptr<LineReader> lines_;
  std::string line_;
  DocumentCounts counts_;
  int64_t bytes_ = 0, bytes_done_ = 0;
  struct HashOfHash {
    size_t operator()(const Hash128& hash) const { return hash.low; }
  };
  std::unordered_set<Hash128, HashOfHash> seen_;
};

}  // namespace tenth
