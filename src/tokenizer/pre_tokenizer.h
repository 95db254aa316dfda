// The cutting of text into pieces, within which the model then works.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/field.h"
#include "tokenizer/pattern.h"

namespace tenth {

// Reads the field pre_tokenizer: Split (Isolated), Digits, ByteLevel and Sequences of these. Pieces are kept as text:
// the byte alphabet of ByteLevel, which may only stand last, is left to the model.
class PreTokenizer {
 public:
  explicit PreTokenizer(const Field& field);

  bool byte_level() const { return byte_level_; }
  void run(std::string_view text, const PieceSink& piece) const { run_stage(0, text, piece); }

 private:
  void add(const Field& field, int depth);
  void add_split(const Field& field);
  void run_stage(size_t index, std::string_view text, const PieceSink& piece) const;

  // Each stage works on every piece that the one before leaves.
  struct Stage {
    std::optional<Pattern> cut;  // without one, the stage puts a space before pieces that begin with none
  };
  std::vector<Stage> stages_;
  bool byte_level_ = false;
};

}  // namespace tenth
