// The lightning indexer of DeepSeek-V3.2's sparse attention (arXiv 2512.02556, section 2.1): a small attention of its
// own, whose scores pick the keys that a token of the large one sees:
//   I_ts = sum_h w_th ReLU(q_th . k_s),  q from the latent of the queries, k and w from the block's input.
// Rotary positions turn the halves of the first dimensions of q and k, not neighbours of the last as in MLA. It works
// in float32, and its weights get no gradient: which keys are the best is a choice. Released files say how it was
// trained, by a loss of its own; training here leaves it as it is.
#pragma once
#include "nn/config.h"
#include "nn/parameter.h"
#include "nn/pass.h"

namespace tenth {

class Indexer {
 public:
  Indexer(const ModelConfig& config, ParameterList& parameters, const std::string& prefix);

  // x (N, D), normed; q_latent (N, rq), normed -> what each token sees. While no sequence is longer than index_topk all
  // see everything. cache: this layer's, whose index keys are stored, or null.
  Sight sight(const Tensor& x, const Tensor& q_latent, const Pass& pass, const LayerCache* cache);

 private:
  Tensor project(const Tensor& x, Weight& w) const;
  // (N, heads di), overwritten -> (N, heads, di) T
  Tensor rotated(const Tensor& x, int64_t heads, const Pass& pass) const;

  int64_t heads_, head_dim_, top_;
  DType type_;  // of the keys
  WeightPtr wq_b_, wk_, k_norm_, k_norm_bias_, weights_proj_;
};

}  // namespace tenth
