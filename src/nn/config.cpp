#include "nn/config.h"

#include <cmath>

namespace tenth {
namespace {

double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

struct Checker {
  const std::string& where;

  void size(const char* field, int64_t value, int64_t limit = int64_t(1) << 24) const {
    require(value >= 1 && value <= limit, ErrorKind::kInput, "{}: {}: expected 1 … {}, got {}", where, field, limit,
            value);
  }
  void real(const char* field, double value, double low, double high) const {
    require(value >= low && value <= high, ErrorKind::kInput, "{}: {}: expected {} … {}, got {}", where, field, low,
            high, value);
  }
};

void check_rope_scaling(const RopeScaling& s, const Checker& check) {
  if (s.type == RopeScaling::Type::kNone) return;
  check.real("rope_scaling.factor", s.factor, 1, 1e6);
  check.size("rope_scaling.original_max_position_embeddings", s.original_max_position_embeddings, int64_t(1) << 31);
  if (s.type == RopeScaling::Type::kYarn) {
    check.real("rope_scaling.beta_slow", s.beta_slow, 1e-3, 1e6);
    check.real("rope_scaling.beta_fast", s.beta_fast, s.beta_slow, 1e6);
    check.real("rope_scaling.mscale", s.mscale, 0, 100);
    check.real("rope_scaling.mscale_all_dim", s.mscale_all_dim, 0, 100);
    check.real("rope_scaling.attention_factor", s.attention_factor, 0, 100);
  } else {
    check.real("rope_scaling.low_freq_factor", s.low_freq_factor, 1e-3, 1e6);
    require(s.high_freq_factor > s.low_freq_factor && s.high_freq_factor <= 1e6, ErrorKind::kInput,
            "{}: rope_scaling.high_freq_factor: expected a number above low_freq_factor {}, got {}", check.where,
            s.low_freq_factor, s.high_freq_factor);
  }
}

void check_indexer(const ModelConfig& c, const Checker& check) {
  check.size("index_topk", c.index_topk);
  check.size("index_n_heads", c.index_n_heads, 4096);
  check.size("index_head_dim", c.index_head_dim, 4096);
  require(c.index_head_dim >= c.qk_rope_head_dim, ErrorKind::kInput,
          "{}: index_head_dim: expected at least qk_rope_head_dim {}, got {}", check.where, c.qk_rope_head_dim,
          c.index_head_dim);
  require(c.q_lora_rank > 0, ErrorKind::kInput,
          "{}: q_lora_rank: expected at least 1 (the indexer reads the latent of the queries), got 0", check.where);
}

}  // namespace

double ModelConfig::softmax_scale() const {
  double scale = 1 / std::sqrt(double(query_dim()));
  if (mla() && rope_scaling.type == RopeScaling::Type::kYarn && rope_scaling.mscale_all_dim != 0) {
    const double m = yarn_mscale(rope_scaling.factor, rope_scaling.mscale_all_dim);
    scale *= m * m;
  }
  return scale;
}

void check_config(const ModelConfig& c, const std::string& where) {
  const Checker check{where};
  check.size("vocab_size", c.vocab_size);
  check.size("hidden_size", c.hidden_size, 1 << 18);
  check.size("num_hidden_layers", c.num_hidden_layers, 1024);
  check.size("num_attention_heads", c.num_attention_heads, 4096);
  check.size("intermediate_size", c.intermediate_size);
  check.size("max_position_embeddings", c.max_position_embeddings, int64_t(1) << 31);
  require(c.rms_norm_eps > 0 && c.rms_norm_eps < 1, ErrorKind::kInput,
          "{}: rms_norm_eps: expected a number in (0, 1), got {}", where, c.rms_norm_eps);
  require(c.rope_theta > 1 && c.rope_theta < 1e12, ErrorKind::kInput,
          "{}: rope_theta: expected a number above 1, got {}", where, c.rope_theta);
  require(c.num_nextn_predict_layers <= 1 && c.num_nextn_predict_layers >= 0, ErrorKind::kUnsupported,
          "{}: num_nextn_predict_layers: expected 0 or 1, got {}", where, c.num_nextn_predict_layers);
  if (c.mla()) {
    check.size("kv_lora_rank", c.kv_lora_rank, 1 << 16);
    check.size("qk_nope_head_dim", c.qk_nope_head_dim, 4096);
    check.size("qk_rope_head_dim", c.qk_rope_head_dim, 4096);
    check.size("v_head_dim", c.v_head_dim, 4096);
    require(c.q_lora_rank >= 0 && c.q_lora_rank <= 1 << 16, ErrorKind::kInput,
            "{}: q_lora_rank: expected 0 … 65536, got {}", where, c.q_lora_rank);
    if (c.sparse_attention()) check_indexer(c, check);
  } else {
    check.size("head_dim", c.head_dim, 4096);
    check.size("num_key_value_heads", c.num_key_value_heads, 4096);
    require(c.num_attention_heads % c.num_key_value_heads == 0, ErrorKind::kInput,
            "{}: num_attention_heads: expected a multiple of num_key_value_heads {}, got {}", where,
            c.num_key_value_heads, c.num_attention_heads);
    if (!c.sliding_layer.empty()) check.size("sliding_window", c.sliding_window, int64_t(1) << 31);
  }
  require(c.rope_dim() % 2 == 0, ErrorKind::kInput,
          "{}: {}: expected an even number (dimensions rotate in pairs), got {}", where,
          c.mla() ? "qk_rope_head_dim" : "head_dim", c.rope_dim());
  check_rope_scaling(c.rope_scaling, check);
  if (c.n_routed_experts == 0) return;
  check.size(c.mla() ? "n_routed_experts" : "num_experts", c.n_routed_experts, 4096);
  check.size("moe_intermediate_size", c.moe_intermediate_size, 1 << 20);
  require(c.n_shared_experts >= 0 && c.n_shared_experts <= 64, ErrorKind::kInput,
          "{}: n_shared_experts: expected 0 … 64, got {}", where, c.n_shared_experts);
  const GateArgs& g = c.gate;
  require(g.experts_per_token >= 1 && g.experts_per_token <= c.n_routed_experts, ErrorKind::kInput,
          "{}: num_experts_per_tok: expected 1 … {} (the experts), got {}", where, c.n_routed_experts,
          g.experts_per_token);
  require(g.groups >= 1 && c.n_routed_experts % g.groups == 0, ErrorKind::kInput,
          "{}: n_group: expected a divisor of the {} experts, got {}", where, c.n_routed_experts, g.groups);
  require(g.groups_kept >= 1 && g.groups_kept <= g.groups, ErrorKind::kInput,
          "{}: topk_group: expected 1 … {} (n_group), got {}", where, g.groups, g.groups_kept);
  require(g.experts_per_token <= c.n_routed_experts / g.groups * g.groups_kept, ErrorKind::kInput,
          "{}: num_experts_per_tok: expected at most the {} experts of the kept groups, got {}", where,
          c.n_routed_experts / g.groups * g.groups_kept, g.experts_per_token);
  require(g.group_score != GateArgs::GroupScore::kTopTwoSum || g.groups == 1 || c.n_routed_experts / g.groups >= 2,
          ErrorKind::kInput, "{}: n_group: expected groups of at least 2 experts, got {} groups of 1", where, g.groups);
}

ModelSize model_size(const ModelConfig& c) {
  const int64_t d = c.hidden_size, h = c.num_attention_heads;
  int64_t attention = 0, norms = 2 * d;
  if (c.mla()) {
    const int64_t dq = h * c.query_dim();
    attention = c.q_lora_rank ? d * c.q_lora_rank + c.q_lora_rank * dq : d * dq;
    attention += d * (c.kv_lora_rank + c.qk_rope_head_dim) + c.kv_lora_rank * h * (c.qk_nope_head_dim + c.v_head_dim);
    attention += h * c.v_head_dim * d;
    norms += c.kv_lora_rank + c.q_lora_rank;
    if (c.sparse_attention()) {
      attention += c.index_n_heads * (c.index_head_dim * c.q_lora_rank + d) + c.index_head_dim * d;
      norms += 2 * c.index_head_dim;
    }
  } else {
    attention = 2 * d * h * c.head_dim + 2 * d * c.num_key_value_heads * c.head_dim;
    norms += (c.qk_norm ? 2 * c.head_dim : 0) + (c.attention_bias ? (h + 2 * c.num_key_value_heads) * c.head_dim : 0);
  }
  const int64_t dense = 3 * d * c.intermediate_size, expert = 3 * d * c.moe_intermediate_size;
  const int64_t always = c.n_shared_experts * expert + d * c.n_routed_experts;
  ModelSize size;
  auto add_layer = [&](bool sparse) {
    size.parameters += attention + norms +
                       (sparse ? c.n_routed_experts * expert + always + (c.gate_bias ? c.n_routed_experts : 0) : dense);
    size.active_parameters += attention + (sparse ? c.gate.experts_per_token * expert + always : dense);
  };
  for (int64_t layer = 0; layer < c.num_hidden_layers; layer++)
    add_layer(c.n_routed_experts > 0 && c.sparse_layer[size_t(layer)]);
  if (c.num_nextn_predict_layers) {
    add_layer(c.n_routed_experts > 0);
    size.parameters += 2 * d * d + 3 * d;
    size.active_parameters += 2 * d * d + c.vocab_size * d;
  }
  size.parameters += d + c.vocab_size * d * (c.tie_word_embeddings ? 1 : 2);
  size.active_parameters += c.vocab_size * d;
  const int64_t layers = c.num_hidden_layers + c.num_nextn_predict_layers;
  size.attention_flops_per_token_pair = 6.0 * double(layers * h * (c.query_dim() + c.value_dim()));
  return size;
}

ModelSize trunk_size(const ModelConfig& config) {
  ModelConfig trunk = config;
  trunk.num_nextn_predict_layers = 0;
  return model_size(trunk);
}

}  // namespace tenth
