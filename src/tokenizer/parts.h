// What a Tokenizer is made of; the reader of files fills it in (load.cpp).
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace tenth {

struct TokenizerParts {
  std::string where;  // the file, for errors

  Vocabulary vocabulary;
  std::vector<std::string> bytes;  // of each id, as decode writes them

  AddedTokens added;             // matched in the text as it came
  AddedTokens added_normalized;  // matched behind the normaliser
  bool nfc = false;
  std::optional<PreTokenizer> pre_tokenizer;
  std::optional<Bpe> bpe;          // without it, each piece is a token (WordLevel)
  std::optional<int32_t> unknown;  // WordLevel: the token for pieces that are none

  std::vector<int32_t> prefix, suffix;  // of the post-processor
  std::optional<int32_t> bos, eos, pad;
  std::map<std::string, std::string> chat_templates;  // by name
  std::map<std::string, std::string> named_tokens;    // "bos_token" -> its text, as templates see them
};

// Reads the fields of a tokenizer.json, the pieces in their order.
void read_tokenizer_json(const Field& root, TokenizerParts& parts);
void read_bytes(TokenizerParts& parts);  // fills in parts.bytes, behind the model
void read_tokenizer_config(const Field& root, TokenizerParts& parts);

}  // namespace tenth
