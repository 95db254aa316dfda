// The tensors of a model folder or a GGUF file under one set of names. Reading their numbers: weight_rows.cpp.
#include "checkpoint/weight_source.h"

#include <algorithm>
#include <map>

#include "checkpoint/file_types.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/safetensors_text.h"
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

constexpr std::string_view kScale = "_scale_inv";
constexpr int64_t kSide = Fp8Args::kSide;  // of an FP8 block

// The scales of an FP8 tensor, checked.
const StoredTensor* scales_of(const StoredTensor& tensor, const SafetensorsSet& files) {
  const std::string name = tensor.name + std::string(kScale);
  const StoredTensor* scales = files.find(name);
  require(scales != nullptr, ErrorKind::kUnsupported,
          "{}: tensor {}: F8_E4M3 is read with a scale for each block of 128 x 128: expected a tensor {}, found none",
          tensor.file, name_text(tensor.name), name_text(name));
  require(tensor.shape.size() == 2, ErrorKind::kInput, "{}: tensor {}: expected a matrix in FP8 blocks, got shape {}",
          tensor.file, name_text(tensor.name), shape_text(tensor.shape));
  const std::vector<int64_t> expected = {(tensor.shape[0] + kSide - 1) / kSide, (tensor.shape[1] + kSide - 1) / kSide};
  require(scales->shape == expected, ErrorKind::kInput,
          "{}: tensor {}: expected a scale for each block of 128 x 128, shape {}, got {}", scales->file,
          name_text(name), shape_text(expected), shape_text(scales->shape));
  const bool known = scales->dtype == "F32" || scales->dtype == "BF16" || scales->dtype == "F8_E8M0";
  require(known, ErrorKind::kUnsupported, "{}: tensor {}: expected scales in F32, BF16 or F8_E8M0, got {}",
          scales->file, name_text(name), scales->dtype);
  return scales;
}

SourceTensor from_gguf(const GgufTensor& tensor, std::string name) {
  SourceTensor t;
  t.name = std::move(name);
  t.shape = tensor.shape;
  t.encoding = tensor.type->name;
  t.block = tensor.type->block;
  t.data = tensor.bytes;
  t.file = tensor.file;
  return t;
}

// The experts of a stack (E, rows, columns), a tensor each.
void add_experts(const GgufTensor& stack, const ExpertStack& place, int64_t experts,
                 std::vector<SourceTensor>& tensors) {
  require(stack.shape.size() == 3 && stack.shape[0] == experts, ErrorKind::kInput,
          "{}: tensor {}: expected a stack ({}, rows, columns) of the experts' matrices, got shape {}", stack.file,
          name_text(stack.name), experts, shape_text(stack.shape));
  const size_t bytes = stack.bytes.size() / size_t(experts);
  for (int64_t e = 0; e < experts; e++) {
    SourceTensor t = from_gguf(
        stack, fmt::format("model.layers.{}.mlp.experts.{}.{}_proj.weight", place.layer, e, place.projection));
    t.shape.erase(t.shape.begin());
    t.data = stack.bytes.subspan(size_t(e) * bytes, bytes);
    tensors.push_back(std::move(t));
  }
}

// kv_b_proj of the halves attn_k_b (H, latent, nope_dim) and attn_v_b (H, value_dim, latent).
SourceTensor joined(const GgufTensor& keys, const GgufFile& file, const ModelConfig& config, int64_t layer) {
  const std::string name = fmt::format("blk.{}.attn_v_b.weight", layer);
  const GgufTensor* values = file.find(name);
  require(values != nullptr, ErrorKind::kInput, "{}: expected a tensor {} beside {}, found none", keys.file, name,
          name_text(keys.name));
  const auto &k = keys.shape, &v = values->shape;
  require(k.size() == 3 && v.size() == 3 && k[0] == v[0] && k[1] == v[2], ErrorKind::kInput,
          "{}: tensors {} and {}: expected shapes (heads, latent, nope) and (heads, value, latent), got {} and {}",
          keys.file, name_text(keys.name), name, shape_text(k), shape_text(v));
  // Of the product of sizes alone, kv_b_proj's rows, other heads would pass.
  require(k[0] == config.num_attention_heads && k[2] == config.qk_nope_head_dim && v[1] == config.v_head_dim,
          ErrorKind::kInput, "{}: tensors {} and {}: expected {} heads of {} and {} numbers, got shapes {} and {}",
          keys.file, name_text(keys.name), name, config.num_attention_heads, config.qk_nope_head_dim, config.v_head_dim,
          shape_text(k), shape_text(v));
  SourceTensor t = from_gguf(keys, fmt::format("model.layers.{}.self_attn.kv_b_proj.weight", layer));
  t.shape = {k[0] * (k[2] + v[1]), k[1]};
  t.data = {};
  t.block = {};
  t.latent_expansion = {&keys, values};
  return t;
}

}  // namespace

int64_t SourceTensor::rows() const {
  int64_t count = 1;
  for (size_t i = 0; i + 1 < shape.size(); i++) count *= shape[i];
  return count;
}

uint64_t SourceTensor::file_bytes() const {
  uint64_t bytes = data.size() + (scales ? scales->bytes.size() : 0);
  if (latent_expansion.keys) bytes += latent_expansion.keys->bytes.size() + latent_expansion.values->bytes.size();
  return bytes;
}

void WeightSource::take_safetensors() {
  for (const StoredTensor* tensor : safetensors_->tensors()) {
    const std::string_view name = tensor->name;
    if (name.ends_with(kScale)) {
      const StoredTensor* base = safetensors_->find(name.substr(0, name.size() - kScale.size()));
      if (base && base->dtype == "F8_E4M3") continue;
    }
    SourceTensor t;
    t.name = tensor->name;
    t.shape = tensor->shape;
    t.encoding = tensor->dtype;
    t.data = tensor->bytes;
    t.file = tensor->file;
    if (tensor->dtype == "F8_E4M3") t.scales = scales_of(*tensor, *safetensors_);
    tensors_.push_back(std::move(t));
  }
}

void WeightSource::take_gguf() {
  const bool permuted = config_.model_type == "llama";
  for (const GgufTensor* tensor : gguf_->tensors()) {
    if (tensor->name == "rope_freqs.weight") continue;  // a part of the config
    if (const auto stack = expert_stack(tensor->name)) {
      add_experts(*tensor, *stack, config_.n_routed_experts, tensors_);
    } else if (const auto layer = layer_of(tensor->name, "attn_k_b")) {
      tensors_.push_back(joined(*tensor, *gguf_, config_, *layer));
    } else if (!layer_of(tensor->name, "attn_v_b")) {
      const auto name = hugging_face_name_of(tensor->name);
      SourceTensor& t = tensors_.emplace_back(from_gguf(*tensor, name.value_or(std::string(tensor->name))));
      if (permuted && name && name->ends_with("self_attn.q_proj.weight")) t.rotary_heads = config_.num_attention_heads;
      if (permuted && name && name->ends_with("self_attn.k_proj.weight")) t.rotary_heads = config_.num_key_value_heads;
      require(t.rotary_heads == 0 || (t.shape.size() == 2 && t.shape[0] % (2 * t.rotary_heads) == 0), ErrorKind::kInput,
              "{}: tensor {}: expected rows for {} heads of even size, got shape {}", t.file, name_text(tensor->name),
              t.rotary_heads, shape_text(t.shape));
    }
  }
}

void WeightSource::forget_missing_module() {
  const std::string module = fmt::format("model.layers.{}.", config_.num_hidden_layers);
  const auto part = [&](const SourceTensor& t) { return t.name.starts_with(module); };
  if (std::none_of(tensors_.begin(), tensors_.end(), part)) config_.num_nextn_predict_layers = 0;
}

WeightSource WeightSource::open(const Path& model) {
  WeightSource source;
  if (!std::filesystem::is_directory(model)) {
    require(std::filesystem::exists(model), ErrorKind::kInput,
            "{}: expected a model folder or a .gguf file, got nothing there", model.string());
    source.gguf_ = GgufFile::open(model);
    source.config_file_ = source.weights_file_ = model.string();
    source.config_ = gguf_model_config(*source.gguf_);
    source.take_gguf();
  } else {
    source.config_file_ = (model / "config.json").string();
    const bool sharded = std::filesystem::exists(model / "model.safetensors.index.json");
    source.weights_file_ = (model / (sharded ? "model.safetensors.index.json" : "model.safetensors")).string();
    source.config_ = read_config(model / "config.json");
    source.safetensors_ = SafetensorsSet::open(model);
    source.take_safetensors();
    source.forget_missing_module();
  }
  auto& tensors = source.tensors_;
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  require(twice == tensors.end(), ErrorKind::kInput, "{}: the weights of {} stand in the file twice",
          source.weights_file_, twice == tensors.end() ? "" : name_text(twice->name));
  return source;
}

const SourceTensor* WeightSource::find(std::string_view name) const {
  const auto place =
      std::lower_bound(tensors_.begin(), tensors_.end(), name, [](const auto& t, auto n) { return t.name < n; });
  return place != tensors_.end() && place->name == name ? &*place : nullptr;
}

const SourceTensor& WeightSource::at(std::string_view name) const {
  const SourceTensor* tensor = find(name);
  const auto theirs = gguf_ && !tensor ? gguf_name_of(name) : std::nullopt;
  require(tensor != nullptr, ErrorKind::kInput, "{}: expected a tensor {}{}, found none of that name", weights_file_,
          name_text(name), theirs ? " (" + *theirs + ")" : "");
  return *tensor;
}

void WeightSource::check_size() const {
  const int64_t wanted = model_size(config_).parameters;
  int64_t stored = 0;
  for (const SourceTensor& tensor : tensors_) stored += tensor.rows() * tensor.columns();
  require(wanted / 2 <= stored, ErrorKind::kInput, "{}: describes {} parameters, the weight files hold only {}",
          config_file_, wanted, stored);
}

DType WeightSource::compute_type() const {
  uint64_t narrow = 0, other = 0;
  for (const SourceTensor& tensor : tensors_)
    (tensor.encoding == "BF16" || tensor.encoding == "F16" || tensor.scales ? narrow : other) += tensor.file_bytes();
  return narrow > other ? DType::kBF16 : DType::kF32;
}

ModelConfig read_model_config(const Path& model) {
  return std::filesystem::is_directory(model) ? read_config(model / "config.json")
                                              : gguf_model_config(GgufFile::open(model));
}

}  // namespace tenth
