#include "nn/indexer.h"

#include "ops/linear.h"
#include "ops/norm.h"

namespace tenth {
namespace {

constexpr double kKeyNormEps = 1e-6;

}  // namespace

Indexer::Indexer(const ModelConfig& c, ParameterList& parameters, const std::string& prefix)
    : heads_(c.index_n_heads), head_dim_(c.index_head_dim), top_(c.index_topk), type_(parameters.compute_type().dtype) {
  constexpr auto kBuffer = Parameter::Role::kBuffer;
  wq_b_ = parameters.add(prefix + "wq_b.weight", {heads_ * head_dim_, c.q_lora_rank}, kBuffer);
  wk_ = parameters.add(prefix + "wk.weight", {head_dim_, c.hidden_size}, kBuffer);
  k_norm_ = parameters.add(prefix + "k_norm.weight", {head_dim_}, kBuffer);
  k_norm_bias_ = parameters.add(prefix + "k_norm.bias", {head_dim_}, kBuffer);
  weights_proj_ = parameters.add(prefix + "weights_proj.weight", {heads_, c.hidden_size}, kBuffer);
}

Tensor Indexer::project(const Tensor& x, Weight& w) const {
  Backend& backend = backend_of(x);
  Tensor wide = x;
  if (x.dtype() != w.value.dtype()) {
    wide = Tensor::make(backend, w.value.dtype(), x.shape());
    backend.copy(wide, x);
  }
  return ops::linear(wide, w).value();
}

Tensor Indexer::rotated(const Tensor& x, int64_t heads, const Pass& pass) const {
  Backend& backend = backend_of(x);
  const Tensor by_head = x.view({x.dim(0), heads, head_dim_});
  backend.rope(by_head, by_head, pass.batch.positions, pass.rope_table, 0, RopeStyle::kHalves, false);
  if (by_head.dtype() == type_) return by_head;
  Tensor narrow = Tensor::make(backend, type_, by_head.shape());
  backend.copy(narrow, by_head);
  return narrow;
}

Sight Indexer::sight(const Tensor& x, const Tensor& q_latent, const Pass& pass, const LayerCache* cache) {
  const bool all = pass.batch.longest <= top_;
  if (all && !cache) return {};
  NoGrad off;
  Backend& backend = backend_of(x);
  Tensor k = project(x, *wk_);
  backend.layer_norm(k, k, k_norm_->value, k_norm_bias_->value, kKeyNormEps);
  k = rotated(k, 1, pass);  // (N, 1, di)
  if (cache) backend.cache_store({cache->index_keys.insert_dim(1), {}, {}, {}}, k, {}, {}, pass.batch.places);
  if (all) return {};
  IndexArgs args;
  args.q = rotated(project(q_latent, *wq_b_), heads_, pass);
  args.weights = project(x, *weights_proj_);
  args.top = top_;
  if (pass.decode) {
    args.keys = cache->index_keys;
    args.places = pass.batch.places;
  } else {
    args.k = k.view({k.dim(0), head_dim_});
    args.segments = pass.batch.segments;
  }
  Sight sight;
  sight.selected = Tensor::make(backend, DType::kI32, {x.dim(0), 2 * blocks_for(pass.batch.longest)});
  backend.select_keys(sight.selected, args);
  return sight;
}

}  // namespace tenth
