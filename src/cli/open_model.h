// What --model means to the commands that read text: a folder, a .gguf file, or the name of a model that was pulled.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "chat/chat_renderer.h"
#include "checkpoint/gguf.h"
#include "tokenizer/gguf_vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

// MODEL or --model MODEL, required; a hub name becomes the place in the cache (hub/cache.h) once all options are read
// and in order.
CLI::Option* add_model_option(CLI::App& command, std::string& model, const std::string& help);

// The vocabulary in the metadata of a .gguf file; views into its map.
GgufVocabulary vocabulary_of(const GgufMetadata& metadata);
// The tokenizer of a folder or a .gguf file.
Tokenizer open_tokenizer(const Path& model);
// The chat format of a folder or a .gguf file.
ChatRenderer open_chat(const Tokenizer& tokenizer, const Path& model);

}  // namespace tenth
