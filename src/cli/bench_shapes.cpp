#include "cli/bench_shapes.h"

#include "base/error.h"

namespace tenth {
namespace {

ModelConfig with_sizes(const char* type, int64_t hidden, int64_t layers, int64_t heads, int64_t intermediate,
                       int64_t vocabulary) {
  ModelConfig c;
  c.model_type = type;
  c.vocab_size = vocabulary;
  c.hidden_size = hidden;
  c.num_hidden_layers = layers;
  c.num_attention_heads = heads;
  c.intermediate_size = intermediate;
  c.max_position_embeddings = 1024;
  return c;
}

void set_attention(ModelConfig& c, int64_t q_rank, int64_t kv_rank, int64_t nope, int64_t rope, int64_t value) {
  c.q_lora_rank = q_rank;
  c.kv_lora_rank = kv_rank;
  c.qk_nope_head_dim = nope;
  c.qk_rope_head_dim = rope;
  c.v_head_dim = value;
}

void set_mixture(ModelConfig& c, int64_t routed, int per_token, int64_t shared, int64_t width) {
  c.n_routed_experts = routed;
  c.gate.experts_per_token = per_token;
  c.n_shared_experts = shared;
  c.moe_intermediate_size = width;
  c.gate_bias = true;
  c.sparse_layer.assign(size_t(c.num_hidden_layers), true);
  c.sparse_layer[0] = false;
}

ModelConfig dense(int64_t hidden, int64_t layers, int64_t heads, int64_t intermediate, int64_t vocabulary) {
  ModelConfig c = with_sizes("llama", hidden, layers, heads, intermediate, vocabulary);
  c.num_key_value_heads = heads;
  c.head_dim = hidden / heads;
  c.rope_style = RopeStyle::kHalves;
  return c;
}

}  // namespace

BenchShape bench_shape(const std::string& name) {
  if (name == "dsv3a") {
    ModelConfig c = with_sizes("deepseek_v3", 256, 6, 4, 640, 8192);
    set_attention(c, 128, 64, 32, 16, 32);
    set_mixture(c, 32, 4, 1, 128);
    return {c, 8, 256};
  }
  if (name == "dsv32a") {  // dsv3a with an indexer; most of a row's tokens select a part of their keys
    BenchShape shape = bench_shape("dsv3a");
    shape.config.model_type = "deepseek_v32";
    shape.config.index_n_heads = 8;
    shape.config.index_head_dim = 32;
    shape.config.index_topk = 64;
    return shape;
  }
  if (name == "dsv3b") {
    ModelConfig c = with_sizes("deepseek_v3", 512, 8, 8, 1536, 16384);
    set_attention(c, 256, 128, 64, 32, 64);
    set_mixture(c, 64, 6, 2, 192);
    return {c, 4, 512};
  }
  if (name == "dense10m") return {dense(256, 6, 4, 1024, 8192), 8, 256};
  if (name == "dense124m") {
    ModelConfig c = dense(768, 12, 12, 2048, 50304);
    c.tie_word_embeddings = true;
    return {c, 4, 512};
  }
  fail(ErrorKind::kInput, "--shape: expected dsv3a, dsv3b, dsv32a, dense10m or dense124m, got {}", name);
}

}  // namespace tenth
