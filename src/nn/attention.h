// The two kinds of attention: multi-head latent attention (DeepSeek) and grouped-query attention (Llama, Qwen).
#pragma once
#include "nn/config.h"
#include "nn/indexer.h"
#include "nn/parameter.h"
#include "nn/pass.h"

namespace tenth {

class Attention {
 public:
  virtual ~Attention() = default;
  // x (N, D), normed -> (N, D). cache: this layer's, or null.
  virtual Var forward(const Var& x, const Pass& pass, LayerCache* cache) = 0;
};

// Multi-head latent attention (DeepSeek-V2 report, section 2.1). Keys and values are expanded from the latent for
// training and prefill; decoding absorbs the expansion into the query and the output and works on the latent cache
// itself, or reads a cache of expanded rows (CacheForm).
class MLA : public Attention {
 public:
  MLA(const ModelConfig& config, ParameterList& parameters, const std::string& prefix);
  Var forward(const Var& x, const Pass& pass, LayerCache* cache) override;

 private:
  Var query(const Var& latent, const Pass& pass);  // latent: x itself where there is none
  Tensor decode_absorbed(const Tensor& q, const Pass& pass, const LayerCache& cache, const Sight& sight) const;
  Tensor kv_b_by_heads(DType type) const;  // (H, dn + dv, rk)
  Tensor decode_expanded(const Tensor& q, const Pass& pass, const LayerCache& cache, const Sight& sight) const;

  int64_t heads_, nope_dim_, rope_dim_, value_dim_, latent_dim_;
  double scale_;
  RopeStyle rope_style_;
  WeightPtr q_, q_a_, q_a_norm_, q_b_;  // q_ alone, or the three of the low-rank form
  WeightPtr kv_a_, kv_a_norm_, kv_b_, o_;
  std::unique_ptr<Indexer> indexer_;  // of sparse attention, or null
};

class GroupedQueryAttention : public Attention {
 public:
  // layer: of num_hidden_layers; it says whether tokens see a window only.
  GroupedQueryAttention(const ModelConfig& config, int64_t layer, ParameterList& parameters, const std::string& prefix);
  Var forward(const Var& x, const Pass& pass, LayerCache* cache) override;

 private:
  // One projection: bias, norm of each head (qwen3), rotation. -> (N, heads d)
  Var project(const Var& x, const Pass& pass, Weight& w, Weight* bias, Weight* norm, int64_t heads);

  int64_t heads_, kv_heads_, head_dim_;
  double scale_, eps_;
  RopeStyle rope_style_;
  Sight sight_;
  WeightPtr q_, k_, v_, o_;
  WeightPtr q_bias_, k_bias_, v_bias_;  // or null
  WeightPtr q_norm_, k_norm_;           // or null
};

}  // namespace tenth
