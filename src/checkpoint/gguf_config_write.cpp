// A ModelConfig as metadata, with the keys that llama.cpp's converter writes and its loader asks for.
#include <cmath>

#include "checkpoint/gguf_config.h"
#include "nn/rope_table.h"

namespace tenth {
namespace {

// Collects entries under the architecture's prefix.
class Entries {
 public:
  explicit Entries(std::string prefix) : prefix_(std::move(prefix)) {}
  void number(const char* key, int64_t value) { list.push_back({prefix_ + key, uint32_t(value)}); }
  void real(const char* key, double value) { list.push_back({prefix_ + key, float(value)}); }
  void flag(const char* key, bool value) { list.push_back({prefix_ + key, value}); }
  void text(const char* key, const char* value) { list.push_back({prefix_ + key, std::string(value)}); }

  std::vector<GgufEntry> list;

 private:
  std::string prefix_;
};

void require_gguf(bool ok, const char* field, const char* expected) {
  require(ok, ErrorKind::kUnsupported, "GGUF has no place for this config.json: {}: expected {}", field, expected);
}

void add_rope(const ModelConfig& c, Entries& out) {
  out.number("rope.dimension_count", c.rope_dim());
  out.real("rope.freq_base", c.rope_theta);
  const RopeScaling& s = c.rope_scaling;
  if (s.type != RopeScaling::Type::kYarn) return;  // Llama 3's is the tensor rope_freqs
  out.text("rope.scaling.type", "yarn");
  out.real("rope.scaling.factor", s.factor);
  out.number("rope.scaling.original_context_length", s.original_max_position_embeddings);
  if (s.beta_fast != 32) out.real("rope.scaling.yarn_beta_fast", s.beta_fast);
  if (s.beta_slow != 1) out.real("rope.scaling.yarn_beta_slow", s.beta_slow);
  if (c.mla()) {
    require_gguf(s.mscale == s.mscale_all_dim && s.attention_factor == 0, "rope_scaling", "mscale = mscale_all_dim");
    out.real("rope.scaling.yarn_log_multiplier", 0.1 * s.mscale_all_dim);
  } else if (s.attention_factor != 0) {
    out.real("rope.scaling.attn_factor", s.attention_factor / (1 + 0.1 * std::log(s.factor)));
  }
}

void add_latent_attention(const ModelConfig& c, Entries& out) {
  out.number("attention.head_count_kv", 1);  // of the latent, which all heads share
  if (c.q_lora_rank) out.number("attention.q_lora_rank", c.q_lora_rank);
  out.number("attention.kv_lora_rank", c.kv_lora_rank);
  out.number("attention.key_length", c.kv_lora_rank + c.qk_rope_head_dim);
  out.number("attention.value_length", c.kv_lora_rank);
  out.number("attention.key_length_mla", c.query_dim());
  out.number("attention.value_length_mla", c.v_head_dim);
}

void add_deepseek_mixture(const ModelConfig& c, Entries& out) {
  int64_t dense = 0;
  while (dense < c.num_hidden_layers && !c.sparse_layer[size_t(dense)]) dense++;
  for (int64_t layer = dense; layer < c.num_hidden_layers; layer++)
    require_gguf(c.sparse_layer[size_t(layer)], "moe_layer_freq", "1");
  const bool sigmoid = c.gate.score == GateArgs::Score::kSigmoid;
  out.number("expert_count", c.n_routed_experts);
  out.number("expert_used_count", c.gate.experts_per_token);
  out.number("expert_shared_count", c.n_shared_experts);
  out.number("expert_feed_forward_length", c.moe_intermediate_size);
  out.number("leading_dense_block_count", dense);
  out.real("expert_weights_scale", c.gate.scaling);
  out.flag("expert_weights_norm", c.gate.normalize);
  out.number("expert_gating_func", sigmoid ? 2 : 1);
  if (c.gate.groups > 1) {
    out.number("expert_group_count", c.gate.groups);
    out.number("expert_group_used_count", c.gate.groups_kept);
  }
}

void add_qwen_mixture(const ModelConfig& c, Entries& out) {
  for (const bool sparse : c.sparse_layer) require_gguf(sparse, "mlp_only_layers", "a mixture in every layer");
  require_gguf(c.gate.normalize, "norm_topk_prob", "true");
  out.number("expert_count", c.n_routed_experts);
  out.number("expert_used_count", c.gate.experts_per_token);
  out.number("expert_feed_forward_length", c.moe_intermediate_size);
}

}  // namespace

std::string gguf_architecture(const ModelConfig& c) {
  if (c.mla()) return "deepseek2";
  return c.model_type == "qwen3_moe" ? "qwen3moe" : c.model_type;
}

std::vector<GgufEntry> gguf_config_entries(const ModelConfig& c) {
  Entries out(gguf_architecture(c) + ".");
  require_gguf(!c.sparse_attention(), "index_topk", "none (deepseek2 files have no indexer)");
  require_gguf(c.sliding_layer.empty(), "sliding_window", "none (llama.cpp would show every layer the whole context)");
  require_gguf(!c.attention_bias || c.model_type == "qwen2", "attention_bias", "false");
  out.number("block_count", c.num_hidden_layers + c.num_nextn_predict_layers);
  if (c.num_nextn_predict_layers) out.number("nextn_predict_layers", c.num_nextn_predict_layers);
  out.number("context_length", c.max_position_embeddings);
  out.number("embedding_length", c.hidden_size);
  out.number("feed_forward_length", c.intermediate_size);
  out.number("vocab_size", c.vocab_size);
  out.number("attention.head_count", c.num_attention_heads);
  out.real("attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  add_rope(c, out);
  if (c.mla()) {
    add_latent_attention(c, out);
    add_deepseek_mixture(c, out);
  } else {
    out.number("attention.head_count_kv", c.num_key_value_heads);
    out.number("attention.key_length", c.head_dim);
    out.number("attention.value_length", c.head_dim);
    if (c.n_routed_experts) add_qwen_mixture(c, out);
  }
  return out.list;
}

std::vector<float> rope_factors(const ModelConfig& config) {
  if (config.rope_scaling.type != RopeScaling::Type::kLlama3) return {};
  ModelConfig plain = config;
  plain.rope_scaling = {};
  const std::vector<double> before = rope_frequencies(plain), after = rope_frequencies(config);
  std::vector<float> factors;
  for (size_t i = 0; i < before.size(); i++) factors.push_back(float(before[i] / after[i]));
  return factors;
}

}  // namespace tenth
