// A model on disk: a Hugging Face folder (config.json, model.safetensors or its shards, generation_config.json; the
// tokenizer room writes its own files beside them). Every stage writes this form and no other; what reads a model takes
// a .gguf file too.
#pragma once
#include <memory>

#include "base/available_memory.h"
#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "nn/transformer.h"

namespace tenth {

// Reads config and weights of a folder or a .gguf file (checkpoint/weight_source.h), a tensor at a time: beside the
// model memory holds some megabytes. Throws kInput in one line (file, field or tensor, expected, got), and for a model
// that needs more than `available` bytes before it reads any weights (memory_check.h).
std::unique_ptr<Transformer> load_model(const Path& path, Backend& backend, ComputeType compute,
                                        int64_t available = available_memory());

// That the source has every parameter of the model, made of its config, in its shape, and nothing else. Throws kInput.
class WeightSource;
void check_weights(const WeightSource& source, Transformer& model);

// Writes config.json, generation_config.json and model.safetensors into an existing folder. Use replace_folder around
// it. stored: kF32 or kBF16 (router biases stay f32). The MTP module's copies of embedding and head are written as
// DeepSeek's files have them.
void save_model(const Path& folder, Transformer& model, DType stored);

// The text of generation_config.json: the ids that begin and end texts.
std::string generation_config(const ModelConfig& config);

// The same in two halves, for who writes from copies of the tensors, later and on another thread.
struct ModelFiles {
  std::string config, generation;      // texts of config.json and generation_config.json
  std::vector<TensorToWrite> tensors;  // views on the model's weights
};
ModelFiles model_files(Transformer& model, DType stored);
void write_model_files(const Path& folder, const ModelFiles& files);

}  // namespace tenth
