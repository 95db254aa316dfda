#include "run/recipe_model.h"

#include "nn/arch/architecture.h"
#include "tokenizer/small_vocab.h"

namespace tenth {
namespace {

int64_t size_of(const Recipe& recipe, const char* key) { return recipe.integer(std::string("model.") + key); }

void set_deepseek_v3(ModelConfig& c, const Recipe& recipe) {
  const auto size = [&](const char* key) { return size_of(recipe, key); };
  c.q_lora_rank = size("q_lora_rank");
  c.kv_lora_rank = size("kv_lora_rank");
  c.qk_nope_head_dim = size("qk_nope_head_dim");
  c.qk_rope_head_dim = size("qk_rope_head_dim");
  c.v_head_dim = size("v_head_dim");
  c.moe_intermediate_size = size("moe_intermediate_size");
  c.n_routed_experts = size("n_routed_experts");
  c.n_shared_experts = size("n_shared_experts");
  c.gate.experts_per_token = int(size("num_experts_per_tok"));
  c.gate.groups = int(size("n_group"));
  c.gate.groups_kept = int(size("topk_group"));
  c.gate.scaling = recipe.real("model.routed_scaling_factor");
  c.gate.normalize = recipe.flag("model.norm_topk_prob");
  c.gate_bias = true;
  for (int64_t layer = 0; layer < c.num_hidden_layers; layer++)
    c.sparse_layer.push_back(layer >= size("first_k_dense_replace"));
  c.num_nextn_predict_layers = size("num_nextn_predict_layers");
}

// llama and qwen3
void set_dense(ModelConfig& c, const Recipe& recipe) {
  const int64_t kv_heads = size_of(recipe, "num_key_value_heads"), head_dim = size_of(recipe, "head_dim");
  c.num_key_value_heads = kv_heads ? kv_heads : c.num_attention_heads;
  c.head_dim = head_dim ? head_dim : c.hidden_size / c.num_attention_heads;
  c.rope_style = RopeStyle::kHalves;
  c.qk_norm = c.model_type == "qwen3";
}

}  // namespace

Path start_folder(const Recipe& recipe) { return recipe.text("run.start_from"); }

Path tokenizer_folder(const Recipe& recipe) {
  if (const Path from = start_folder(recipe); !from.empty()) return from;
  const std::vector<std::string>& data = recipe.list("data.path");
  return data.empty() ? Path() : Path(data[0]);
}

Tokenizer recipe_tokenizer(const Recipe& recipe) {
  if (const Path folder = tokenizer_folder(recipe); !folder.empty()) return Tokenizer::load(folder);
  return arithmetic_vocab(recipe.integer("model.max_position_embeddings")).tokenizer();
}

// FP8 products stand among activations in bf16, as in DeepSeek's recipe: its loss is compared with that of bf16.
ComputeType recipe_compute_type(const Recipe& recipe) {
  const std::string& name = recipe.text("run.dtype");
  if (name == "fp8") return {DType::kBF16, recipe.text("run.fp8_scales") == "f32" ? Fp8Scale::kF32 : Fp8Scale::kUe8m0};
  return name == "bf16" ? DType::kBF16 : DType::kF32;
}

ModelConfig model_config(const Recipe& recipe, const Tokenizer& tokenizer) {
  const auto size = [&](const char* key) { return size_of(recipe, key); };
  ModelConfig c;
  c.model_type = recipe.text("model.architecture");
  c.vocab_size = tokenizer.vocab_size();
  c.hidden_size = size("hidden_size");
  c.num_hidden_layers = size("num_hidden_layers");
  c.num_attention_heads = size("num_attention_heads");
  c.intermediate_size = size("intermediate_size");
  c.max_position_embeddings = size("max_position_embeddings");
  c.rope_theta = recipe.real("model.rope_theta");
  c.rms_norm_eps = recipe.real("model.rms_norm_eps");
  c.initializer_range = recipe.real("model.initializer_range");
  c.tie_word_embeddings = recipe.flag("model.tie_word_embeddings");
  if (c.model_type == "deepseek_v3")
    set_deepseek_v3(c, recipe);
  else
    set_dense(c, recipe);
  if (const auto id = tokenizer.eos_id()) c.eos_token_ids = {*id};
  c.bos_token_id = tokenizer.bos_id().value_or(-1);
  check_config(c, recipe.where("model.hidden_size"));
  return c;
}

ModelConfig recipe_model(const Recipe& recipe) {
  if (const Path from = start_folder(recipe); !from.empty()) return read_config(from / "config.json");
  return model_config(recipe, recipe_tokenizer(recipe));
}

}  // namespace tenth
