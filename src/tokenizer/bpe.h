// Byte-level byte pair encoding (Sennrich et al., "Neural machine translation of rare words with subword units", ACL
// 2016, over bytes as in GPT-2).
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/field.h"
#include "tokenizer/vocabulary.h"

namespace tenth {

// GPT-2's alphabet, which writes any bytes as printable text: a printable byte of Latin-1 stands for itself, the other
// 68 in increasing order are U+0100, U+0101, ... (space is U+0120).
std::string byte_text(uint8_t byte);
// The bytes that text in this alphabet stands for; nullopt where a character is not of the alphabet.
std::optional<std::string> bytes_of_text(std::string_view text);

class Bpe {
 public:
  // Reads the field model of a tokenizer.json. The vocabulary must hold the printable bytes of ASCII; other bytes that
  // it lacks (SmolLM2's has no control characters) are left out of a text, as the tokenizers library leaves them.
  Bpe(const Vocabulary& vocabulary, const Field& model);

  // Room for the work on a piece, to be used again for the next.
  struct Scratch {
    struct Symbol {
      int32_t id;  // -1: merged into its left neighbour
      int32_t previous, next;
    };
    struct Candidate {
      int32_t rank;
      int32_t position;  // of the left symbol
      int32_t id;        // of the merged token
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the tokens of piece: while a pair of neighbours has a merge, the one with the lowest rank, leftmost first,
  // becomes one. n log n in the length of the piece.
  void encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    int32_t rank, id;
  };
  void read_merges(const Vocabulary& vocabulary, const Field& merges);
  const Merge* find(int32_t left, int32_t right) const;
  void push(int32_t position, Scratch& scratch) const;

  std::array<int32_t, 256> byte_ids_;
  std::unordered_map<uint64_t, Merge> merges_;             // left id << 32 | right id
  std::unordered_map<std::string, int32_t> whole_pieces_;  // bytes -> id, only where ignore_merges is true
};

}  // namespace tenth
