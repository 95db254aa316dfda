// A tokenizer.json as the keys tokenizer.ggml.* that llama.cpp's converter writes for byte-level BPE ("gpt2").
#pragma once
#include "checkpoint/gguf_write.h"
#include "nn/config.h"

namespace tenth {

// From tokenizer.json, tokenizer_config.json and, where there is one, chat_template.jinja. config: of the model, whose
// vocab_size may be larger (the rest is marked unused). Throws kInput for a file that is not as it should be,
// kUnsupported for a tokenizer that llama.cpp has no name for: another model than BPE over bytes, or another split.
std::vector<GgufEntry> gguf_vocabulary_entries(const Path& folder, const ModelConfig& config);

// The vocabulary of another GGUF file, as it is.
std::vector<GgufEntry> gguf_vocabulary_entries(const GgufMetadata& metadata);

}  // namespace tenth
