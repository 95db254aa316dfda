// Tokenizers from GGUF files: the steps that such a file names are those of gguf_split.h.
#include "tokenizer/gguf_vocabulary.h"

#include "base/utf8.h"
#include "tokenizer/gguf_split.h"
#include "tokenizer/parts.h"
#include "tokenizer/tokenizer.h"

namespace tenth {
namespace {

void require_utf8(std::string_view text, const GgufVocabulary& vocabulary, const char* key, size_t index) {
  require(well_formed_prefix(text) == text.size(), ErrorKind::kInput, "{}: {}[{}]: expected UTF-8, got other bytes",
          vocabulary.where, key, index);
}

void read_tokens(const GgufVocabulary& from, TokenizerParts& parts) {
  constexpr int64_t kControl = 3, kUserDefined = 4;
  require(from.types.empty() || from.types.size() == from.tokens.size(), ErrorKind::kInput,
          "{}: tokenizer.ggml.token_type: expected one for each of {} tokens, got {}", from.where, from.tokens.size(),
          from.types.size());
  for (size_t i = 0; i < from.tokens.size(); i++) {
    require_utf8(from.tokens[i], from, "tokenizer.ggml.tokens", i);
    const std::string text(from.tokens[i]);
    parts.vocabulary.add(text, int64_t(i), from.where + ": tokenizer.ggml.tokens");
    const int64_t type = from.types.empty() ? 1 : from.types[i];
    if (type == kControl) parts.vocabulary.mark_special(int32_t(i));
    if ((type == kControl || type == kUserDefined) && !text.empty()) parts.added.add(text, int32_t(i));
  }
  parts.added.build();
  parts.added_normalized.build();
}

std::optional<int32_t> named(const GgufVocabulary& from, const std::optional<int64_t>& id, const char* key,
                             TokenizerParts& parts) {
  if (!id) return std::nullopt;
  require(parts.vocabulary.holds(*id), ErrorKind::kInput, "{}: tokenizer.ggml.{}_token_id: expected 0 to {}, got {}",
          from.where, key, parts.vocabulary.size() - 1, *id);
  parts.named_tokens[fmt::format("{}_token", key)] = parts.vocabulary.text(int32_t(*id));
  return int32_t(*id);
}

Json merges_of(const GgufVocabulary& from) {
  Json::array_t list;
  list.reserve(from.merges.size());
  for (size_t i = 0; i < from.merges.size(); i++) {
    require_utf8(from.merges[i], from, "tokenizer.ggml.merges", i);
    list.emplace_back(std::string(from.merges[i]));
  }
  return list;
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const GgufVocabulary& from) {
  require(from.model == "gpt2", ErrorKind::kUnsupported,
          "{}: tokenizer.ggml.model: {} is not supported (gpt2, byte-level BPE, is)", from.where, from.model);
  const GgufSplit& split = gguf_split_of(from);
  auto parts = std::make_shared<TokenizerParts>();
  parts->where = from.where;
  read_tokens(from, *parts);
  parts->nfc = split.nfc;
  const Json pre_tokenizer = pre_tokenizer_json(split);
  parts->pre_tokenizer.emplace(Field(pre_tokenizer, from.where + ": tokenizer.ggml.pre"));
  const Json model = {{"ignore_merges", split.ignore_merges}, {"merges", merges_of(from)}};
  parts->bpe.emplace(parts->vocabulary, Field(model, from.where + ": tokenizer.ggml"));
  read_bytes(*parts);
  parts->bos = named(from, from.bos, "bos", *parts);
  parts->eos = named(from, from.eos, "eos", *parts);
  parts->pad = named(from, from.pad, "pad", *parts);
  if (from.add_bos.value_or(split.add_bos) && parts->bos) parts->prefix = {*parts->bos};
  if (!from.chat_template.empty()) parts->chat_templates["default"] = from.chat_template;
  return Tokenizer(std::move(parts));
}

}  // namespace tenth
