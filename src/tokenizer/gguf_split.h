// How the vocabularies of GGUF files cut text before BPE: by a name, tokenizer.ggml.pre, whose steps are those of the
// models' own tokenizer.json.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/gguf_vocabulary.h"

namespace tenth {

struct GgufSplit {
  std::vector<std::string> names;     // of tokenizer.ggml.pre
  std::vector<std::string> patterns;  // each cuts the pieces that the one before leaves
  bool nfc = false, ignore_merges = false, add_bos = false;
};

const GgufSplit& gguf_split_of(const GgufVocabulary& vocabulary);  // throws kUnsupported

// The field pre_tokenizer of a tokenizer.json.
Json pre_tokenizer_json(const GgufSplit& split);

}  // namespace tenth
