// Packing of documents into rows of at most `context` tokens, without cutting a document that fits: best-fit decreasing
// (Ding et al., "Fewer truncations improve language modeling", ICML 2024). It looks at lengths only.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenth {

class Packing {
 public:
  struct Piece {
    uint64_t begin;   // first token, counted over all documents end to end
    uint32_t length;  // tokens
    uint32_t document;
  };

  // A document longer than context is cut into pieces of context tokens and a rest; neighbours share one token, so that
  // each token but a document's first is a target once. context: at least 2. Documents of one token are left out.
  Packing(std::span<const uint32_t> lengths, uint32_t context);

  int64_t rows() const { return int64_t(row_begins_.size()) - 1; }
  std::span<const Piece> row(int64_t index) const;
  int64_t tokens() const { return tokens_; }  // of all rows, shared ones twice

 private:
  std::vector<Piece> pieces_;       // row after row
  std::vector<size_t> row_begins_;  // in pieces_, and the end
  int64_t tokens_ = 0;
};

}  // namespace tenth
