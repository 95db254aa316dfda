// A trained BPE vocabulary as the files of a model folder, which the Hugging Face libraries read to the same ids.
#pragma once
#include "base/json.h"
#include "tokenizer/bpe_train.h"

namespace tenth {

// The first ids of a vocabulary trained on text: those of the chat format, and <bos>, which begins a document.
const std::vector<std::string>& text_specials();

// BPE behind kSplitPattern and the byte alphabet, no normaliser: decoding gives the text back byte for byte. Encoding
// with special tokens puts <bos> before a text.
OrderedJson bpe_tokenizer_json(const BpeVocabulary& vocabulary, const std::vector<std::string>& specials);
// With the chat template of chat_format.h.
OrderedJson bpe_tokenizer_config_json();

// Writes tokenizer.json and tokenizer_config.json into the folder, which must be there.
void save_bpe(const BpeVocabulary& vocabulary, const Path& folder);

}  // namespace tenth
