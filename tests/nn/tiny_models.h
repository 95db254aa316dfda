// Small models with random weights, one for each way that layers can be put together; no fixtures needed.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/transformer.h"
#include "tensor_util.h"

namespace tenth::testing {

// Kinds of tiny_config.
inline const std::vector<std::string> kTinyModels = {"mla",        "mla_q_lora", "mla_mtp",    "mla_groups",
                                                     "mla_sparse", "gqa",        "gqa_window", "qwen3_moe"};

inline ModelConfig tiny_config(const std::string& kind) {
  ModelConfig c;
  c.vocab_size = 40;
  c.hidden_size = 32;
  c.num_hidden_layers = 2;
  c.intermediate_size = 48;
  c.max_position_embeddings = 512;
  c.num_attention_heads = 4;
  c.initializer_range = 0.3;  // distinct logits
  c.eos_token_ids = {1};
  c.sparse_layer = {false, true};
  c.n_routed_experts = 8;
  c.moe_intermediate_size = 16;
  c.gate.experts_per_token = 3;
  if (kind == "mla_sparse") {
    c = tiny_config("mla_mtp");
    c.model_type = "deepseek_v32";
    c.index_n_heads = 3;
    c.index_head_dim = 14;
    c.index_topk = 6;
    return c;
  }
  if (kind == "gqa_window") {
    c = tiny_config("gqa");
    c.sliding_window = 5;
    c.sliding_layer = {false, true};
    return c;
  }
  if (kind == "gqa" || kind == "qwen3_moe") {
    c.model_type = kind == "gqa" ? "qwen2" : "qwen3_moe";
    c.num_key_value_heads = 2;
    c.head_dim = 12;
    c.rope_style = RopeStyle::kHalves;
    c.attention_bias = kind == "gqa";
    c.tie_word_embeddings = kind == "gqa";
    c.qk_norm = kind == "qwen3_moe";
    c.gate.score = GateArgs::Score::kSoftmax;
    c.gate.group_score = GateArgs::GroupScore::kMax;
    if (kind == "qwen3_moe") return c;
    c.n_routed_experts = 0;
    c.sparse_layer.clear();
    return c;
  }
  c.model_type = kind == "mla_groups" ? "deepseek_v2" : "deepseek_v3";
  c.kv_lora_rank = 20;
  c.q_lora_rank = kind == "mla" ? 0 : 24;
  c.qk_nope_head_dim = 10;
  c.qk_rope_head_dim = 6;
  c.v_head_dim = 14;
  c.n_shared_experts = 1;
  c.gate_bias = kind != "mla_groups";
  c.gate.scaling = 1.5;
  c.num_nextn_predict_layers = kind == "mla_mtp";
  if (kind == "mla_groups") {
    c.gate.score = GateArgs::Score::kSoftmax;
    c.gate.group_score = GateArgs::GroupScore::kMax;
    c.gate.normalize = false;
    c.gate.groups = 4;
    c.gate.groups_kept = 2;
  }
  return c;
}

inline std::unique_ptr<Transformer> tiny_model(const std::string& kind, Backend& backend, DType compute,
                                               uint64_t seed = 1) {
  const ModelConfig config = tiny_config(kind);
  check_config(config, "tiny_config");
  auto model = std::make_unique<Transformer>(config, backend, compute);
  initialize(*model, seed, config.tie_word_embeddings ? 0.3 : 1);  // a tied head of size 1 repeats its input
  return model;
}

inline std::vector<int32_t> random_ids(Rng& rng, int64_t count, int64_t vocabulary) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = int32_t(rng.below(uint64_t(vocabulary)));
  return ids;
}

// Logits of whole sequences, one after the other.
inline Tensor full_logits(Transformer& model, std::span<const int32_t> ids, std::span<const int32_t> lengths,
                          const Routings* replay = nullptr, Routings* record = nullptr) {
  NoGrad off;
  Pass pass;
  pass.batch = make_batch(model.backend(), ids, lengths);
  pass.replay = replay;
  pass.record_routing = record != nullptr;
  const Var hidden = model.hidden(pass);
  if (record) *record = pass.routings;
  return model.logits(hidden).value();
}

}  // namespace tenth::testing
