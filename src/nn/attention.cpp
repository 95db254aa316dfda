#include "nn/attention.h"

#include "ops/attention.h"
#include "ops/basic.h"
#include "ops/linear.h"
#include "ops/norm.h"

namespace tenth {
namespace {

// transformers norms the latents with this eps, whatever rms_norm_eps says.
constexpr double kLatentNormEps = 1e-6;

constexpr auto kMatrix = Parameter::Role::kMatrix;
constexpr auto kVector = Parameter::Role::kVector;

// In a model of blocks the projections around attention feel the rounding of their inputs to 8 bits most: half of what
// it costs in perplexity (docs/log.md, "How far the fast path is from float32").
void round_finely(std::initializer_list<WeightPtr> projections) {
  for (const WeightPtr& weight : projections)
    if (weight) weight->fine = true;
}

}  // namespace

MLA::MLA(const ModelConfig& c, ParameterList& parameters, const std::string& prefix)
    : heads_(c.num_attention_heads),
      nope_dim_(c.qk_nope_head_dim),
      rope_dim_(c.qk_rope_head_dim),
      value_dim_(c.v_head_dim),
      latent_dim_(c.kv_lora_rank),
      scale_(c.softmax_scale()),
      rope_style_(c.rope_style) {
  const int64_t d = c.hidden_size, query_width = heads_ * (nope_dim_ + rope_dim_);
  if (c.q_lora_rank) {
    q_a_ = parameters.add(prefix + "q_a_proj.weight", {c.q_lora_rank, d}, kMatrix);
    q_a_norm_ = parameters.add(prefix + "q_a_layernorm.weight", {c.q_lora_rank}, kVector);
    q_b_ = parameters.add(prefix + "q_b_proj.weight", {query_width, c.q_lora_rank}, kMatrix);
  } else {
    q_ = parameters.add(prefix + "q_proj.weight", {query_width, d}, kMatrix);
  }
  kv_a_ = parameters.add(prefix + "kv_a_proj_with_mqa.weight", {latent_dim_ + rope_dim_, d}, kMatrix);
  kv_a_norm_ = parameters.add(prefix + "kv_a_layernorm.weight", {latent_dim_}, kVector);
  kv_b_ = parameters.add(prefix + "kv_b_proj.weight", {heads_ * (nope_dim_ + value_dim_), latent_dim_}, kMatrix);
  kv_b_->rows_read = true;  // absorbed by decoding
  o_ = parameters.add(prefix + "o_proj.weight", {d, heads_ * value_dim_}, kMatrix);
  round_finely({q_a_, q_b_, q_, kv_a_, o_});
  if (c.sparse_attention()) indexer_ = std::make_unique<Indexer>(c, parameters, prefix + "indexer.");
}

Var MLA::query(const Var& latent, const Pass& pass) {
  Var q = q_ ? ops::linear(latent, *q_) : ops::expand(latent, *q_b_);
  q = ops::view(q, {latent.value().dim(0), heads_, nope_dim_ + rope_dim_});
  return ops::rope(q, pass.batch.positions, pass.rope_table, nope_dim_, rope_style_);  // (N, H, dn + dr)
}

Var MLA::forward(const Var& x, const Pass& pass, LayerCache* cache) {
  const int64_t tokens = x.value().dim(0);
  const Var q_latent = q_ ? x : ops::rms_norm(ops::linear(x, *q_a_), *q_a_norm_, kLatentNormEps);
  Var q = query(q_latent, pass);
  const Sight sight = indexer_ ? indexer_->sight(x.value(), q_latent.value(), pass, cache) : Sight{};
  const auto parts = ops::split_columns(ops::linear(x, *kv_a_), latent_dim_);
  Var latent = ops::rms_norm(parts[0], *kv_a_norm_, kLatentNormEps);  // (N, rk)
  Var k_rope =
      ops::rope(parts[1], pass.batch.positions, pass.rope_table, 0, rope_style_);  // (N, dr), one for all heads
  if (cache && cache->latent) {
    backend_of(latent.value())
        .cache_store(*cache, latent.value().insert_dim(1), k_rope.value(), Tensor(), pass.batch.places);
    if (pass.decode) return ops::linear(decode_absorbed(q.value(), pass, *cache, sight), *o_);
  }
  Var kv = ops::expand(latent, *kv_b_);  // (N, H (dn + dv))
  if (cache && cache->keys) {
    const Tensor heads = kv.value().view({tokens, heads_, nope_dim_ + value_dim_});
    backend_of(heads).cache_store(*cache, heads.slice(2, 0, nope_dim_), k_rope.value(),
                                  heads.slice(2, nope_dim_, nope_dim_ + value_dim_), pass.batch.places);
    if (pass.decode) return ops::linear(decode_expanded(q.value(), pass, *cache, sight), *o_);
  }
  q = ops::view(q, {tokens, heads_ * (nope_dim_ + rope_dim_)});
  const ops::MlaShape shape{heads_, nope_dim_, rope_dim_, value_dim_, sight};
  return ops::linear(ops::mla_attention(q, kv, k_rope, pass.batch.segments, shape, scale_), *o_);
}

Tensor MLA::decode_expanded(const Tensor& q, const Pass& pass, const LayerCache& cache, const Sight& sight) const {
  Backend& backend = backend_of(q);
  Tensor out = Tensor::make(backend, q.dtype(), {q.dim(0), heads_, value_dim_});
  backend.cached_attention(out, q, cache, pass.batch.places, scale_, sight);
  return out.view({q.dim(0), heads_ * value_dim_});
}

// score = (q_nope W_uk) . c + q_rope . k_rope: attention with one key head of width rk + dr whose values are the
// latents; then out = (sum_j p_j c_j) W_uv^T.
Tensor MLA::decode_absorbed(const Tensor& q, const Pass& pass, const LayerCache& cache, const Sight& sight) const {
  Backend& backend = backend_of(q);
  const int64_t tokens = q.dim(0), row = latent_dim_ + rope_dim_;
  Tensor q_latent = Tensor::make(backend, q.dtype(), {tokens, heads_, row});
  Tensor mixed = Tensor::make(backend, q.dtype(), {tokens, heads_, latent_dim_});
  Tensor out = Tensor::make(backend, q.dtype(), {tokens, heads_, value_dim_});
  const Tensor q_nope = q.slice(2, 0, nope_dim_), kv_b = kv_b_->absorbed_keys ? Tensor() : kv_b_by_heads(q.dtype());
  if (kv_b)
    backend.mla_absorb_query(q_latent, q_nope, kv_b);
  else
    backend.block_heads_forward(q_latent, q_nope, kv_b_->absorbed_keys);
  backend.copy(q_latent.slice(2, latent_dim_, row), q.slice(2, nope_dim_, nope_dim_ + rope_dim_));
  backend.cached_attention(mixed, q_latent, cache, pass.batch.places, scale_, sight);
  if (kv_b)
    backend.mla_absorb_output(out, mixed, kv_b);
  else
    backend.block_heads_forward(out, mixed, kv_b_->absorbed_values);
  return out.view({tokens, heads_ * value_dim_});
}

Tensor MLA::kv_b_by_heads(DType type) const {
  Tensor expand = kv_b_->compute;
  if (expand.dtype() != type) {  // FP8 with scales that are no powers of two
    expand = Tensor::make(backend_of(expand), type, expand.shape());
    backend_of(expand).copy(expand, kv_b_->compute);
  }
  return expand.view({heads_, nope_dim_ + value_dim_, latent_dim_});
}

GroupedQueryAttention::GroupedQueryAttention(const ModelConfig& c, int64_t layer, ParameterList& parameters,
                                             const std::string& prefix)
    : heads_(c.num_attention_heads),
      kv_heads_(c.num_key_value_heads),
      head_dim_(c.head_dim),
      scale_(c.softmax_scale()),
      eps_(c.rms_norm_eps),
      rope_style_(c.rope_style),
      sight_{c.window_of(layer), {}} {
  const int64_t d = c.hidden_size, wide = heads_ * head_dim_, narrow = kv_heads_ * head_dim_;
  q_ = parameters.add(prefix + "q_proj.weight", {wide, d}, kMatrix);
  k_ = parameters.add(prefix + "k_proj.weight", {narrow, d}, kMatrix);
  v_ = parameters.add(prefix + "v_proj.weight", {narrow, d}, kMatrix);
  o_ = parameters.add(prefix + "o_proj.weight", {d, wide}, kMatrix);
  round_finely({q_, k_, v_, o_});
  if (c.attention_bias) {
    q_bias_ = parameters.add(prefix + "q_proj.bias", {wide}, kVector);
    k_bias_ = parameters.add(prefix + "k_proj.bias", {narrow}, kVector);
    v_bias_ = parameters.add(prefix + "v_proj.bias", {narrow}, kVector);
  }
  if (c.qk_norm) {
    q_norm_ = parameters.add(prefix + "q_norm.weight", {head_dim_}, kVector);
    k_norm_ = parameters.add(prefix + "k_norm.weight", {head_dim_}, kVector);
  }
}

Var GroupedQueryAttention::project(const Var& x, const Pass& pass, Weight& w, Weight* bias, Weight* norm,
                                   int64_t heads) {
  const int64_t tokens = x.value().dim(0);
  Var y = ops::linear(x, w, bias);
  if (norm) y = ops::rms_norm(ops::view(y, {tokens * heads, head_dim_}), *norm, eps_);
  y = ops::rope(ops::view(y, {tokens, heads, head_dim_}), pass.batch.positions, pass.rope_table, 0, rope_style_);
  return ops::view(y, {tokens, heads * head_dim_});
}

Var GroupedQueryAttention::forward(const Var& x, const Pass& pass, LayerCache* cache) {
  const int64_t tokens = x.value().dim(0);
  Var q = project(x, pass, *q_, q_bias_.get(), q_norm_.get(), heads_);
  Var k = project(x, pass, *k_, k_bias_.get(), k_norm_.get(), kv_heads_);
  Var v = ops::linear(x, *v_, v_bias_.get());
  Backend& backend = backend_of(q.value());
  if (cache) {
    const auto by_head = [&](const Var& x) { return x.value().view({tokens, kv_heads_, head_dim_}); };
    backend.cache_store(*cache, by_head(k), Tensor(), by_head(v), pass.batch.places);
  }
  if (cache && pass.decode) {
    Tensor out = Tensor::make(backend, q.value().dtype(), {tokens, heads_, head_dim_});
    backend.cached_attention(out, q.value().view({tokens, heads_, head_dim_}), *cache, pass.batch.places, scale_,
                             sight_);
    return ops::linear(out.view({tokens, heads_ * head_dim_}), *o_);
  }
  const ops::GqaShape shape{heads_, kv_heads_, head_dim_, sight_};
  return ops::linear(ops::gqa_attention(q, k, v, pass.batch.segments, shape, scale_), *o_);
}

}  // namespace tenth
