// Text <-> token ids, from the tokenizer.json of a model folder (the format of the Hugging Face `tokenizers` library).
// Text -> added tokens cut out -> normaliser -> pre-tokenizer -> model (byte-level BPE, or whole words) -> ids.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/marked_text.h"

namespace tenth {

struct TokenizerParts;
struct GgufVocabulary;

// Immutable and cheap to copy; may be used by many threads at once.
class Tokenizer {
 public:
  // Reads tokenizer.json and, where there are any, tokenizer_config.json and chat_template.jinja. Throws kInput for a
  // file that is broken and kUnsupported for one that asks for what is not built, with file, field, expected and got.
  static Tokenizer load(const Path& model_dir);
  // The same from values in memory; folder stands in errors. config may be null.
  static Tokenizer from_json(const Json& tokenizer, const Json& config, const Path& folder);

  // Of a GGUF file (gguf_vocabulary.h). Throws as load does.
  static Tokenizer from_gguf(const GgufVocabulary& vocabulary);

  // The ids of text. Ill-formed UTF-8 becomes U+FFFD. allow_special: added tokens (<eos>, <think>, ...) that stand in
  // the text become their ids. Without it they are ordinary characters: so for all text that a user gives. Adds nothing
  // (no bos). Time grows with the length of text, times its logarithm at worst. Throws kInput where a vocabulary of
  // words has no token for a word.
  std::vector<int32_t> encode(std::string_view text, bool allow_special) const;

  // The same for a prompt that is made of words of several origins: added tokens are found where all of their text is
  // of the frame; where it is the model's, but for the ids of `framing` (those that begin and end turns); never in what
  // is a user's. Other than that the text is one: a piece may hold characters of both sides of a border.
  std::vector<int32_t> encode(const MarkedText& text, std::span<const int32_t> framing = {}) const;

  // The added tokens that stand in a text.
  std::vector<int32_t> added_tokens_in(std::string_view text) const;

  // ids between the tokens that the file's post-processor puts around a text (none with DeepSeek and Qwen).
  std::vector<int32_t> with_template(const std::vector<int32_t>& ids) const;

  // The text of ids, well formed. skip_special leaves out the tokens that the file marks special. Throws kInput for an
  // id that is no token.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  int32_t vocab_size() const;  // largest id + 1; a model's vocab_size may be larger, by padding
  std::optional<int32_t> id_of(const std::string& token_text) const;
  const std::string& token_text(int32_t id) const;   // as in tokenizer.json, bytes in their alphabet
  const std::string& token_bytes(int32_t id) const;  // what the token adds to a decoded text
  bool is_special(int32_t id) const;

  // From tokenizer_config.json, where it names them.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;
  const std::string& chat_template() const;  // Jinja, the one named default; empty where there is none
  // All of them by name (default, tool_use, …), and the texts of the tokens that the file names (bos_token, …), which
  // templates see as variables.
  const std::map<std::string, std::string>& chat_templates() const;
  const std::map<std::string, std::string>& named_tokens() const;

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const TokenizerParts> parts_;
};

// Decodes a stream of ids. What push and, last, finish give is together decode(all ids), and each part is whole
// characters: an unfinished one waits for its other bytes.
class StreamDecoder {
 public:
  StreamDecoder(Tokenizer tokenizer, bool skip_special)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  std::string push(int32_t id);
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string pending_;  // at most 3 bytes
};

}  // namespace tenth
