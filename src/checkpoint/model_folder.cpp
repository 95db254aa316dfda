#include "checkpoint/model_folder.h"

#include <set>

#include "checkpoint/frozen_weights.h"
#include "checkpoint/memory_check.h"
#include "checkpoint/safetensors_text.h"
#include "checkpoint/weight_source.h"
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

// Tensors that files hold and this model does not read: the MTP layer's copies of embedding and head, tables of rotary
// frequencies, a tied head, and whole layers past the last one (an MTP layer that config.json does not announce).
bool is_superfluous(const std::string& name, const ModelConfig& config) {
  const std::string mtp = fmt::format("model.layers.{}.", config.num_hidden_layers);
  if (name.ends_with("rotary_emb.inv_freq")) return true;
  if (name == "lm_head.weight") return config.tie_word_embeddings;
  if (!name.starts_with(mtp)) return false;
  return config.num_nextn_predict_layers == 0 || name == mtp + "embed_tokens.weight" ||
         name == mtp + "shared_head.head.weight";
}

}  // namespace

void check_weights(const WeightSource& source, Transformer& model) {
  const ModelConfig& config = source.config();
  std::set<std::string> known;
  for (const Parameter& parameter : model.parameters()) {
    source.at(parameter.name).check_shape(parameter.shape());
    known.insert(parameter.name);
  }
  for (const SourceTensor& tensor : source.tensors()) {
    require(known.count(tensor.name) || is_superfluous(tensor.name, config), ErrorKind::kInput,
            "{}: tensor {}: not a part of a {} model with this {}", tensor.file, name_text(tensor.name),
            config.model_type, source.gguf() ? "header" : "config.json");
  }
}

std::unique_ptr<Transformer> load_model(const Path& path, Backend& backend, ComputeType compute, int64_t available) {
  const WeightSource source = WeightSource::open(path);
  source.check_size();
  if (!compute.frozen) require_memory_to_train(source.config(), compute, path, available);
  auto model = std::make_unique<Transformer>(source.config(), backend, compute);
  check_weights(source, *model);
  if (compute.frozen) require_memory(*model, source, path, available);
  for (const Parameter& parameter : model->parameters())
    if (parameter.weight->value) source.at(parameter.name).load_into(parameter.value());
  if (compute.frozen)
    load_frozen_weights(*model, source);
  else
    model->refresh();
  return model;
}

std::string generation_config(const ModelConfig& config) {
  OrderedJson generation = {{"_from_model_config", false}, {"do_sample", false}};
  if (config.bos_token_id >= 0) generation["bos_token_id"] = config.bos_token_id;
  write_eos_token_ids(config, generation);
  return generation.dump(2) + "\n";
}

ModelFiles model_files(Transformer& model, DType stored) {
  const ModelConfig& config = model.config();
  ModelFiles files{config_json(config, stored).dump(2) + "\n", generation_config(config), {}};
  std::vector<TensorToWrite>& tensors = files.tensors;
  for (const Parameter& parameter : model.parameters()) {
    const bool narrow = stored == DType::kBF16 && parameter.role != Parameter::Role::kBuffer;
    tensors.push_back({.name = parameter.name, .tensor = parameter.value(), .dtype = narrow ? "BF16" : "F32"});
    if (!model.has_mtp()) continue;
    const std::string mtp = fmt::format("model.layers.{}.", config.num_hidden_layers);
    TensorToWrite copy = tensors.back();
    if (parameter.name == "model.embed_tokens.weight") {
      copy.name = mtp + "embed_tokens.weight";
      tensors.push_back(copy);
    }
    if (parameter.name == (config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight")) {
      copy.name = mtp + "shared_head.head.weight";
      tensors.push_back(copy);
    }
  }
  return files;
}

void write_model_files(const Path& folder, const ModelFiles& files) {
  write_file(folder / "config.json", files.config);
  write_file(folder / "generation_config.json", files.generation);
  write_safetensors(folder / "model.safetensors", files.tensors, {{"format", "pt"}});
}

void save_model(const Path& folder, Transformer& model, DType stored) {
  write_model_files(folder, model_files(model, stored));
}

}  // namespace tenth
