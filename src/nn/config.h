// What a model is. Fields carry the keys of Hugging Face's config.json; each architecture's file in nn/arch says how
// its config.json maps to them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace tenth {

struct RopeScaling {
  enum class Type { kNone, kYarn, kLlama3 };
  Type type = Type::kNone;
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn; 0: the key is absent
  double attention_factor = 0;                       // yarn; 0: the key is absent
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
};

struct ModelConfig {
  std::string model_type;
  int64_t vocab_size = 0, hidden_size = 0, num_hidden_layers = 0, max_position_embeddings = 0;
  int64_t intermediate_size = 0;  // of dense feed-forward layers
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  int64_t num_nextn_predict_layers = 0;  // multi-token prediction modules (at most 1 is supported)
  int64_t bos_token_id = -1;
  std::vector<int64_t> eos_token_ids;  // generation stops at any of them
  double initializer_range = 0.02;

  int64_t num_attention_heads = 0;
  // Grouped-query attention
  int64_t num_key_value_heads = 0, head_dim = 0;
  bool attention_bias = false;      // on q, k and v
  bool qk_norm = false;             // RMSNorm of each head's q and k before rotation
  int64_t sliding_window = 0;       // the last so many tokens, its own included, are all that one sees …
  std::vector<bool> sliding_layer;  // … in these of the num_hidden_layers; empty: in none
  // Multi-head latent attention, where kv_lora_rank > 0
  int64_t q_lora_rank = 0;  // 0: a plain q_proj
  int64_t kv_lora_rank = 0, qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  // … whose tokens attend to the index_topk keys that an indexer picks (DeepSeek-V3.2), where that is > 0
  int64_t index_n_heads = 0, index_head_dim = 0, index_topk = 0;

  double rope_theta = 10000;
  RopeScaling rope_scaling;
  RopeStyle rope_style = RopeStyle::kAdjacent;

  // Mixture of experts, where n_routed_experts > 0
  int64_t n_routed_experts = 0, n_shared_experts = 0, moe_intermediate_size = 0;
  std::vector<bool> sparse_layer;  // num_hidden_layers entries: whether the layer's feed-forward is a mixture
  GateArgs gate;                   // num_experts_per_tok, n_group, topk_group, scoring_func, norm_topk_prob, …
  bool gate_bias = false;          // e_score_correction_bias
  double aux_loss_alpha = 0;

  bool mla() const { return kv_lora_rank > 0; }
  bool sparse_attention() const { return index_topk > 0; }
  int64_t query_dim() const { return mla() ? qk_nope_head_dim + qk_rope_head_dim : head_dim; }
  int64_t rope_dim() const { return mla() ? qk_rope_head_dim : head_dim; }
  int64_t value_dim() const { return mla() ? v_head_dim : head_dim; }
  int64_t window_of(int64_t layer) const {  // 0: the whole context
    return size_t(layer) < sliding_layer.size() && sliding_layer[size_t(layer)] ? sliding_window : 0;
  }
  double softmax_scale() const;  // query_dim^(-1/2), times mscale^2 under YaRN (MLA)
};

// Refuses a model that cannot be (heads that do not divide, more experts a token than experts, an odd rope dimension,
// sizes of 0 or beyond reason): one line "<where>: field …: expected …, got …".
void check_config(const ModelConfig& config, const std::string& where);

// Parameters in all, those a token's forward pass multiplies with (embedding lookup left out), and the FLOPs of
// training one token of a sequence of this length: 6 a multiplied parameter, and causal attention, in which a token
// meets (length + 1) / 2 others on average.
struct ModelSize {
  int64_t parameters = 0, active_parameters = 0;
  double training_flops(int64_t length) const {
    return 6.0 * double(active_parameters) + attention_flops_per_token_pair * double(length + 1) / 2;
  }
  double attention_flops_per_token_pair = 0;  // forward and backward, all layers
};
ModelSize model_size(const ModelConfig& config);
// The same without the multi-token prediction module: what a token costs where that is not trained.
ModelSize trunk_size(const ModelConfig& config);

}  // namespace tenth
