#include "cli/open_model.h"

#include "hub/cache.h"

namespace tenth {
namespace {

std::optional<int64_t> id(const GgufMetadata& metadata, const char* key) {
  if (!metadata.has(key)) return std::nullopt;
  return metadata.integer(key);
}

}  // namespace

GgufVocabulary vocabulary_of(const GgufMetadata& metadata) {
  GgufVocabulary vocabulary;
  vocabulary.where = metadata.file();
  vocabulary.model = metadata.text("tokenizer.ggml.model");
  vocabulary.pre = metadata.text("tokenizer.ggml.pre", "");
  vocabulary.tokens = metadata.texts("tokenizer.ggml.tokens");
  vocabulary.types = metadata.integers("tokenizer.ggml.token_type");
  vocabulary.merges = metadata.texts("tokenizer.ggml.merges");
  vocabulary.bos = id(metadata, "tokenizer.ggml.bos_token_id");
  vocabulary.eos = id(metadata, "tokenizer.ggml.eos_token_id");
  vocabulary.pad = id(metadata, "tokenizer.ggml.padding_token_id");
  if (metadata.has("tokenizer.ggml.add_bos_token"))
    vocabulary.add_bos = metadata.flag("tokenizer.ggml.add_bos_token", false);
  vocabulary.chat_template = metadata.text("tokenizer.chat_template", "");
  return vocabulary;
}

CLI::Option* add_model_option(CLI::App& command, std::string& model, const std::string& help) {
  command.parse_complete_callback([&model] { model = find_model(model).string(); });
  return command.add_option("model,--model", model, help)->required();
}

Tokenizer open_tokenizer(const Path& model) {
  if (!is_gguf(model)) return Tokenizer::load(model);
  const GgufFile file = GgufFile::open(model);
  return Tokenizer::from_gguf(vocabulary_of(file.metadata()));
}

ChatRenderer open_chat(const Tokenizer& tokenizer, const Path& model) {
  return is_gguf(model) ? ChatRenderer::of(tokenizer, "", model.string()) : ChatRenderer::load(tokenizer, model);
}

}  // namespace tenth
