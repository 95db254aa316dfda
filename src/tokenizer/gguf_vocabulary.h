// The vocabulary of a GGUF file (metadata keys tokenizer.ggml.*), as the reader of such files hands it over.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

// Views need to live only while Tokenizer::from_gguf runs.
struct GgufVocabulary {
  std::string where;                     // the file, for errors
  std::string model;                     // tokenizer.ggml.model: only "gpt2" (byte-level BPE) is supported
  std::string pre;                       // .pre: how text is split; "" where the key is absent
  std::vector<std::string_view> tokens;  // .tokens, by id
  std::vector<int64_t> types;            // .token_type: 1 normal, 3 control, 4 user defined, 5 unused, ...; or empty
  std::vector<std::string_view> merges;  // .merges: "a b"
  std::optional<int64_t> bos, eos, pad;  // .bos_token_id, .eos_token_id, .padding_token_id
  std::optional<bool> add_bos;           // .add_bos_token; absent: as the models of this split do
  std::string chat_template;             // tokenizer.chat_template
};

// The same as files of a model folder, whose tokenizer gives the same ids, here and in the Hugging Face libraries; the
// unused tokens that fill a vocabulary up at its end are left out. Throws as Tokenizer::from_gguf does.
struct TokenizerFiles {
  std::string tokenizer, config;  // texts of tokenizer.json and tokenizer_config.json
};
TokenizerFiles tokenizer_files(const GgufVocabulary& vocabulary);

}  // namespace tenth
