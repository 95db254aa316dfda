// Vocabularies of a hundred tokens for models trained from nothing: special tokens, and words of one or more characters
// (digits, signs, whole numbers), matched longest first from the left, with no spaces between them when decoded.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

struct SmallVocab {
  std::vector<std::string> specials;  // ids 0, 1, ...: <user>, <think> and <eos> of chat_format.h must be among them
  std::vector<std::string> words;     // the ids behind
  std::string pad = "<pad>";          // one of specials
  int64_t model_max_length = 0;       // in tokens

  // The files in the form that the Hugging Face libraries read to the same ids and texts: a WordLevel model behind a
  // Split pattern of the words, and the chat template of chat_format.h. Throws kInput for a token that is empty or
  // stands twice, and for a special token that is missing.
  OrderedJson tokenizer_json() const;
  OrderedJson tokenizer_config_json() const;

  Tokenizer tokenizer() const;
  // Writes tokenizer.json and tokenizer_config.json into the folder, which must be there.
  void save(const Path& model_dir) const;
};

// The vocabulary of the arithmetic tasks: thinking format, signs, and the whole numbers 0 to 99 as one token each.
SmallVocab arithmetic_vocab(int64_t model_max_length);

}  // namespace tenth
