#include "nn/arch/architecture.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tenth {

std::span<const Architecture* const> architectures() {
  static constexpr std::array<const Architecture*, 7> kAll = {&kDeepseekV3, &kDeepseekV32, &kDeepseekV2, &kLlama,
                                                              &kQwen2,      &kQwen3,       &kQwen3Moe};
  return kAll;
}

const Json* ConfigReader::find(const char* key) const {
  const auto it = json_.find(key);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

int64_t ConfigReader::integer(const char* key) const {
  require(find(key) != nullptr, ErrorKind::kInput, "{}: field {}: expected a whole number, the field is missing",
          where_, key);
  return integer(key, 0);
}

int64_t ConfigReader::integer(const char* key, int64_t fallback) const {
  const Json* value = find(key);
  if (!value) return fallback;
  // -1e15 … 1e15 is exact in a double and cannot overflow any later product of two sizes that check_config lets
  // through.
  const bool whole = value->is_number() && std::floor(value->get<double>()) == value->get<double>() &&
                     std::abs(value->get<double>()) < 1e15;
  require(whole, ErrorKind::kInput, "{}: field {}: expected a whole number, got {}", where_, key,
          value->dump().substr(0, 40));
  return int64_t(value->get<double>());
}

int ConfigReader::small(const char* key, int64_t value) const {
  require(value >= 0 && value <= 1 << 20, ErrorKind::kInput, "{}: {}: expected 0 … {}, got {}", where_, key, 1 << 20,
          value);
  return int(value);
}

double ConfigReader::real(const char* key, double fallback) const {
  const Json* value = find(key);
  if (!value) return fallback;
  require(value->is_number(), ErrorKind::kInput, "{}: field {}: expected a number, got {}", where_, key,
          value->dump().substr(0, 40));
  return value->get<double>();
}

bool ConfigReader::flag(const char* key, bool fallback) const {
  const Json* value = find(key);
  if (!value) return fallback;
  require(value->is_boolean(), ErrorKind::kInput, "{}: field {}: expected true or false, got {}", where_, key,
          value->dump().substr(0, 40));
  return value->get<bool>();
}

std::string ConfigReader::text(const char* key, const std::string& fallback) const {
  const Json* value = find(key);
  if (!value) return fallback;
  require(value->is_string(), ErrorKind::kInput, "{}: field {}: expected a string, got {}", where_, key,
          value->dump().substr(0, 40));
  return value->get<std::string>();
}

std::vector<int64_t> ConfigReader::integers(const char* key) const {
  std::vector<int64_t> values;
  const Json* list = find(key);
  if (!list) return values;
  require(list->is_array(), ErrorKind::kInput, "{}: field {}: expected a list of numbers, got {}", where_, key,
          list->dump().substr(0, 40));
  for (const Json& value : *list) {
    require(value.is_number_integer(), ErrorKind::kInput, "{}: field {}: expected whole numbers, got {}", where_, key,
            value.dump().substr(0, 40));
    values.push_back(value.get<int64_t>());
  }
  return values;
}

std::vector<std::string> ConfigReader::texts(const char* key) const {
  std::vector<std::string> values;
  const Json* list = find(key);
  if (!list) return values;
  require(list->is_array(), ErrorKind::kInput, "{}: field {}: expected a list of strings, got {}", where_, key,
          list->dump().substr(0, 40));
  for (const Json& value : *list) {
    require(value.is_string(), ErrorKind::kInput, "{}: field {}: expected strings, got {}", where_, key,
            value.dump().substr(0, 40));
    values.push_back(value.get<std::string>());
  }
  return values;
}

double ConfigReader::rope_theta(double fallback) const {
  if (const Json* inner = find("rope_parameters"); inner && inner->is_object()) {
    return ConfigReader(*inner, where_ + ": rope_parameters").real("rope_theta", real("rope_theta", fallback));
  }
  return real("rope_theta", fallback);
}

RopeScaling ConfigReader::rope_scaling() const {
  RopeScaling s;
  const Json* outer = find("rope_scaling");
  const char* key = "rope_scaling";
  if (!outer) outer = find(key = "rope_parameters");
  if (!outer) return s;
  require(outer->is_object(), ErrorKind::kInput, "{}: field {}: expected an object, got {}", where_, key,
          outer->dump().substr(0, 40));
  const ConfigReader in(*outer, where_ + ": " + key);
  const std::string type = in.text("rope_type", in.text("type", "default"));
  if (type == "default") return s;
  if (type == "yarn")
    s.type = RopeScaling::Type::kYarn;
  else if (type == "llama3")
    s.type = RopeScaling::Type::kLlama3;
  else
    fail(ErrorKind::kUnsupported, "{}: {}.rope_type: expected default, yarn or llama3, got \"{}\"", where_, key, type);
  s.factor = in.real("factor", 1);
  s.original_max_position_embeddings =
      in.integer("original_max_position_embeddings", integer("max_position_embeddings"));
  s.beta_fast = in.real("beta_fast", 32);
  s.beta_slow = in.real("beta_slow", 1);
  s.mscale = in.real("mscale", 0);
  s.mscale_all_dim = in.real("mscale_all_dim", 0);
  s.attention_factor = in.real("attention_factor", 0);
  s.low_freq_factor = in.real("low_freq_factor", 1);
  s.high_freq_factor = in.real("high_freq_factor", 4);
  return s;
}

namespace {

void check_fp8(const Json& json, const std::string& file) {
  require(json.is_object(), ErrorKind::kInput, "{}: field quantization_config: expected an object, got {}", file,
          json.dump().substr(0, 40));
  const ConfigReader in(json, file + ": quantization_config");
  const std::string method = in.text("quant_method", ""), format = in.text("fmt", "e4m3");
  require(method == "fp8" && format == "e4m3", ErrorKind::kUnsupported,
          "{}: quant_method, fmt: expected fp8 and e4m3, got {} and {}; use a float32 or bfloat16 copy of the model",
          in.where(), method, format);
  const std::vector<int64_t> block = in.integers("weight_block_size");
  require(block == std::vector<int64_t>{Fp8Args::kSide, Fp8Args::kSide}, ErrorKind::kUnsupported,
          "{}: weight_block_size: expected [128, 128], got {}", in.where(),
          json.value("weight_block_size", Json()).dump().substr(0, 40));
}

}  // namespace

ModelConfig read_config(const Path& file) { return config_of(read_json(file), file.string()); }

ModelConfig config_of(const Json& json, const std::string& where) {
  require(json.is_object(), ErrorKind::kInput, "{}: expected a JSON object", where);
  const ConfigReader in(json, where);
  const std::string type = in.text("model_type", "");
  const Architecture* found = nullptr;
  std::string known;
  for (const Architecture* a : architectures()) {
    if (type == a->model_type) found = a;
    known += std::string(known.empty() ? "" : ", ") + a->model_type;
  }
  require(found != nullptr, ErrorKind::kUnsupported, "{}: model_type: expected one of {}, got \"{}\"", where, known,
          type);
  const std::string activation = in.text("hidden_act", "silu");
  require(activation == "silu", ErrorKind::kUnsupported, "{}: hidden_act: expected silu, got \"{}\"", where,
          activation);
  if (const auto it = json.find("quantization_config"); it != json.end() && !it->is_null()) check_fp8(*it, where);
  ModelConfig c;
  c.model_type = type;
  c.vocab_size = in.integer("vocab_size");
  c.hidden_size = in.integer("hidden_size");
  c.intermediate_size = in.integer("intermediate_size");
  c.num_hidden_layers = in.integer("num_hidden_layers");
  c.num_attention_heads = in.integer("num_attention_heads");
  c.max_position_embeddings = in.integer("max_position_embeddings", 2048);
  c.rms_norm_eps = in.real("rms_norm_eps", 1e-6);
  c.tie_word_embeddings = in.flag("tie_word_embeddings", false);
  c.initializer_range = in.real("initializer_range", 0.02);
  c.bos_token_id = in.integer("bos_token_id", -1);
  if (json.contains("eos_token_id") && json["eos_token_id"].is_array())
    c.eos_token_ids = in.integers("eos_token_id");
  else
    c.eos_token_ids = {in.integer("eos_token_id", -1)};
  std::erase_if(c.eos_token_ids, [&](int64_t id) { return id < 0 || id >= c.vocab_size; });
  c.rope_theta = in.rope_theta(10000);
  c.rope_scaling = in.rope_scaling();
  require(c.num_hidden_layers >= 1 && c.num_hidden_layers <= 1024, ErrorKind::kInput,
          "{}: num_hidden_layers: expected 1 … 1024, got {}", where, c.num_hidden_layers);
  found->read(in, c);
  check_config(c, where);
  return c;
}

namespace {

OrderedJson rope_scaling_json(const RopeScaling& s) {
  if (s.type == RopeScaling::Type::kNone) return nullptr;
  const bool yarn = s.type == RopeScaling::Type::kYarn;
  OrderedJson out = {{"rope_type", yarn ? "yarn" : "llama3"},
                     {"factor", s.factor},
                     {"original_max_position_embeddings", s.original_max_position_embeddings}};
  if (yarn) {
    out["beta_fast"] = s.beta_fast;
    out["beta_slow"] = s.beta_slow;
    if (s.mscale) out["mscale"] = s.mscale;
    if (s.mscale_all_dim) out["mscale_all_dim"] = s.mscale_all_dim;
    if (s.attention_factor) out["attention_factor"] = s.attention_factor;
  } else {
    out["low_freq_factor"] = s.low_freq_factor;
    out["high_freq_factor"] = s.high_freq_factor;
  }
  return out;
}

}  // namespace

void write_eos_token_ids(const ModelConfig& c, OrderedJson& out) {
  if (c.eos_token_ids.size() == 1)
    out["eos_token_id"] = c.eos_token_ids[0];
  else if (!c.eos_token_ids.empty())
    out["eos_token_id"] = c.eos_token_ids;
}

OrderedJson config_json(const ModelConfig& c, DType stored) {
  for (const Architecture* a : architectures()) {
    if (c.model_type != a->model_type) continue;
    OrderedJson out = {{"architectures", {a->class_name}},
                       {"model_type", c.model_type},
                       {"vocab_size", c.vocab_size},
                       {"hidden_size", c.hidden_size},
                       {"intermediate_size", c.intermediate_size},
                       {"num_hidden_layers", c.num_hidden_layers},
                       {"num_attention_heads", c.num_attention_heads},
                       {"max_position_embeddings", c.max_position_embeddings},
                       {"rms_norm_eps", c.rms_norm_eps},
                       {"tie_word_embeddings", c.tie_word_embeddings},
                       {"initializer_range", c.initializer_range},
                       {"hidden_act", "silu"},
                       {"rope_theta", c.rope_theta},
                       {"rope_scaling", rope_scaling_json(c.rope_scaling)},
                       {"torch_dtype", stored == DType::kBF16 ? "bfloat16" : "float32"}};
    if (c.bos_token_id >= 0) out["bos_token_id"] = c.bos_token_id;
    write_eos_token_ids(c, out);
    a->write(c, out);
    return out;
  }
  fail(ErrorKind::kInternal, "no architecture named \"{}\"", c.model_type);
}

namespace {

// Which layers see a window only, as transformers and vLLM read it: those that layer_types names; else, in Qwen 2 and
// 3, where use_sliding_window is set (sliding_window alone means nothing), those from max_window_layers on, of its
// mixture all; in other families all where there is a sliding_window. A window of the whole context is none.
void read_sliding_window(const ConfigReader& in, ModelConfig& c) {
  const bool qwen = c.model_type.starts_with("qwen");
  int64_t window = 0;
  if (in.flag("use_sliding_window", !qwen)) window = in.integer("sliding_window", qwen ? 4096 : 0);
  const int64_t full = c.model_type == "qwen2" || c.model_type == "qwen3" ? in.integer("max_window_layers", 28) : 0;
  std::vector<bool> layers;
  for (const std::string& type : in.texts("layer_types")) {
    require(type == "full_attention" || type == "sliding_attention", ErrorKind::kUnsupported,
            "{}: layer_types: expected full_attention or sliding_attention, got \"{}\"", in.where(), type);
    layers.push_back(type == "sliding_attention");
  }
  require(layers.empty() || int64_t(layers.size()) == c.num_hidden_layers, ErrorKind::kInput,
          "{}: layer_types: expected {} entries (num_hidden_layers), got {}", in.where(), c.num_hidden_layers,
          layers.size());
  for (int64_t layer = int64_t(layers.size()); window != 0 && layer < c.num_hidden_layers; layer++)
    layers.push_back(layer >= full);
  if (std::find(layers.begin(), layers.end(), true) == layers.end()) return;
  require(window >= 1, ErrorKind::kInput, "{}: sliding_window: expected at least 1 where layers slide, got {}",
          in.where(), window == 0 ? "none" : std::to_string(window));
  if (window >= c.max_position_embeddings) return;
  c.sliding_window = window;
  c.sliding_layer = layers;
}

void write_sliding_window(const ModelConfig& c, OrderedJson& out) {
  if (c.sliding_layer.empty()) return;
  int64_t full = 0;
  OrderedJson types = OrderedJson::array();
  for (const bool slides : c.sliding_layer) {
    if (!slides) full = int64_t(types.size()) + 1;
    types.push_back(slides ? "sliding_attention" : "full_attention");
  }
  out["sliding_window"] = c.sliding_window;
  if (c.model_type.starts_with("qwen")) {
    out["use_sliding_window"] = true;
    out["max_window_layers"] = full;  // older readers know no layer_types
  }
  out["layer_types"] = types;
}

}  // namespace

void read_grouped_query_keys(const ConfigReader& in, ModelConfig& c) {
  c.rope_style = RopeStyle::kHalves;
  c.num_key_value_heads = in.integer("num_key_value_heads", c.num_attention_heads);
  const int64_t heads = c.num_attention_heads;
  c.head_dim = in.integer("head_dim", heads > 0 ? c.hidden_size / heads : 0);
  read_sliding_window(in, c);
  require(!in.flag("mlp_bias", false), ErrorKind::kUnsupported, "{}: mlp_bias: expected false, got true", in.where());
}

void write_grouped_query_keys(const ModelConfig& c, OrderedJson& out) {
  out["num_key_value_heads"] = c.num_key_value_heads;
  out["head_dim"] = c.head_dim;
  if (c.model_type != "qwen2") out["attention_bias"] = c.attention_bias;
  write_sliding_window(c, out);
}

void read_latent_attention_keys(const ConfigReader& in, ModelConfig& c) {
  c.rope_style = RopeStyle::kAdjacent;
  c.q_lora_rank = in.integer("q_lora_rank", 0);
  c.kv_lora_rank = in.integer("kv_lora_rank");
  require(c.kv_lora_rank > 0, ErrorKind::kInput, "{}: kv_lora_rank: expected at least 1, got {}", in.where(),
          c.kv_lora_rank);
  c.qk_nope_head_dim = in.integer("qk_nope_head_dim");
  c.qk_rope_head_dim = in.integer("qk_rope_head_dim");
  c.v_head_dim = in.integer("v_head_dim");
  require(!in.flag("attention_bias", false), ErrorKind::kUnsupported, "{}: attention_bias: expected false, got true",
          in.where());
  c.n_routed_experts = in.integer("n_routed_experts", 0);
  c.aux_loss_alpha = in.real("aux_loss_alpha", 0);
  c.sparse_layer.assign(size_t(c.num_hidden_layers), false);
  if (c.n_routed_experts == 0) return;
  c.n_shared_experts = in.integer("n_shared_experts", 0);
  c.moe_intermediate_size = in.integer("moe_intermediate_size");
  const int64_t dense = in.integer("first_k_dense_replace", 0), frequency = in.integer("moe_layer_freq", 1);
  require(frequency >= 1, ErrorKind::kInput, "{}: moe_layer_freq: expected at least 1, got {}", in.where(), frequency);
  for (int64_t layer = 0; layer < c.num_hidden_layers; layer++)
    c.sparse_layer[size_t(layer)] = layer >= dense && layer % frequency == 0;
  const auto small = [&](const char* key) { return in.small(key, in.integer(key, 1)); };
  c.gate.experts_per_token = small("num_experts_per_tok");
  c.gate.groups = small("n_group");
  c.gate.groups_kept = small("topk_group");
  c.gate.scaling = in.real("routed_scaling_factor", 1);
}

void write_latent_attention_keys(const ModelConfig& c, OrderedJson& out) {
  out["num_key_value_heads"] = c.num_attention_heads;
  out["q_lora_rank"] = c.q_lora_rank ? OrderedJson(c.q_lora_rank) : OrderedJson(nullptr);
  out["kv_lora_rank"] = c.kv_lora_rank;
  out["qk_nope_head_dim"] = c.qk_nope_head_dim;
  out["qk_rope_head_dim"] = c.qk_rope_head_dim;
  out["v_head_dim"] = c.v_head_dim;
  out["attention_bias"] = false;
  out["aux_loss_alpha"] = c.aux_loss_alpha;
  int64_t dense = 0, frequency = 1;
  while (dense < c.num_hidden_layers && !c.sparse_layer[size_t(dense)]) dense++;
  const auto fits = [&] {
    for (int64_t layer = dense; layer < c.num_hidden_layers; layer++)
      if (c.sparse_layer[size_t(layer)] != (layer % frequency == 0)) return false;
    return true;
  };
  while (!fits() && frequency < c.num_hidden_layers) frequency++;
  out["n_routed_experts"] = c.n_routed_experts ? OrderedJson(c.n_routed_experts) : OrderedJson(nullptr);
  out["n_shared_experts"] = c.n_shared_experts;
  out["moe_intermediate_size"] = c.moe_intermediate_size;
  out["first_k_dense_replace"] = dense;
  out["moe_layer_freq"] = frequency;
  out["num_experts_per_tok"] = c.gate.experts_per_token;
  out["n_group"] = c.gate.groups;
  out["topk_group"] = c.gate.groups_kept;
  out["routed_scaling_factor"] = c.gate.scaling;
}

}  // namespace tenth
