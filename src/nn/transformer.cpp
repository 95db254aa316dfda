#include "nn/transformer.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "ops/basic.h"
#include "ops/linear.h"
#include "ops/norm.h"

namespace tenth {

using Role = Parameter::Role;

Block::Block(const ModelConfig& c, int64_t layer, bool sparse, ParameterList& parameters, const std::string& prefix)
    : eps_(c.rms_norm_eps),
      input_norm_(parameters.add(prefix + "input_layernorm.weight", {c.hidden_size}, Role::kVector)) {
  if (c.mla())
    attention_ = std::make_unique<MLA>(c, parameters, prefix + "self_attn.");
  else
    attention_ = std::make_unique<GroupedQueryAttention>(c, layer, parameters, prefix + "self_attn.");
  post_attention_norm_ = parameters.add(prefix + "post_attention_layernorm.weight", {c.hidden_size}, Role::kVector);
  if (sparse) {
    auto mixture = std::make_unique<MoE>(c, parameters, prefix + "mlp.");
    mixture_ = mixture.get();
    feed_forward_ = std::move(mixture);
  } else {
    feed_forward_ = std::make_unique<MLP>(c.hidden_size, c.intermediate_size, parameters, prefix + "mlp.");
  }
}

Stream Block::forward(const Stream& stream, Pass& pass, LayerCache* cache) {
  const ops::ResidualNorm in = stream.delta.value()
                                   ? ops::add_rms_norm(stream.x, stream.delta, *input_norm_, eps_)
                                   : ops::ResidualNorm{stream.x, ops::rms_norm(stream.x, *input_norm_, eps_)};
  const Var attended = attention_->forward(in.normed, pass, cache);
  const ops::ResidualNorm mid = ops::add_rms_norm(in.sum, attended, *post_attention_norm_, eps_);
  return {mid.sum, feed_forward_->forward(mid.normed, pass)};
}

MTP::MTP(const ModelConfig& c, ParameterList& parameters, const std::string& prefix)
    : eps_(c.rms_norm_eps),
      enorm_(parameters.add(prefix + "enorm.weight", {c.hidden_size}, Role::kVector)),
      hnorm_(parameters.add(prefix + "hnorm.weight", {c.hidden_size}, Role::kVector)),
      eh_proj_(parameters.add(prefix + "eh_proj.weight", {c.hidden_size, 2 * c.hidden_size}, Role::kMatrix, true)),
      block_(c, c.num_hidden_layers, c.n_routed_experts > 0, parameters, prefix),
      head_norm_(parameters.add(prefix + "shared_head.norm.weight", {c.hidden_size}, Role::kVector)) {}

Var MTP::forward(const Var& hidden, const Var& next_embedding, Pass& pass, LayerCache* cache) {
  Var joined = ops::concat_columns(ops::rms_norm(next_embedding, *enorm_, eps_), ops::rms_norm(hidden, *hnorm_, eps_));
  const Stream out = block_.forward({ops::linear(joined, *eh_proj_), Var()}, pass, cache);
  return ops::add_rms_norm(out.x, out.delta, *head_norm_, eps_).normed;
}

Transformer::Transformer(const ModelConfig& config, Backend& backend, ComputeType compute)
    : config_(config), parameters_(backend, compute), rope_(config, backend) {
  const int64_t d = config.hidden_size;
  embedding_ = parameters_.add("model.embed_tokens.weight", {config.vocab_size, d}, Role::kEmbedding);
  embedding_->rows_read = true;
  for (int64_t layer = 0; layer < config.num_hidden_layers; layer++) {
    const bool sparse = config.n_routed_experts > 0 && config.sparse_layer.at(size_t(layer));
    blocks_.push_back(
        std::make_unique<Block>(config, layer, sparse, parameters_, fmt::format("model.layers.{}.", layer)));
    if (blocks_.back()->mixture()) mixtures_.push_back(blocks_.back()->mixture());
  }
  norm_ = parameters_.add("model.norm.weight", {d}, Role::kVector);
  head_ = config.tie_word_embeddings ? embedding_
                                     : parameters_.add("lm_head.weight", {config.vocab_size, d}, Role::kEmbedding);
  if (config.num_nextn_predict_layers) {
    mtp_ = std::make_unique<MTP>(config, parameters_, fmt::format("model.layers.{}.", config.num_hidden_layers));
    if (mtp_->mixture()) mixtures_.push_back(mtp_->mixture());
  }
}

void Transformer::prepare(Pass& pass) { pass.rope_table = rope_.upto(pass.batch.longest); }

Var Transformer::hidden(Pass& pass) {
  prepare(pass);
  Stream stream{ops::embedding(pass.batch.ids, *embedding_, compute_type()), Var()};
  for (size_t layer = 0; layer < blocks_.size(); layer++) {
    stream = blocks_[layer]->forward(stream, pass, pass.cache ? &pass.cache->layers[layer] : nullptr);
  }
  return ops::add_rms_norm(stream.x, stream.delta, *norm_, config_.rms_norm_eps).normed;
}

Var Transformer::mtp_hidden(const Var& hidden, const Tensor& next_ids, Pass& pass) {
  require(has_mtp(), ErrorKind::kInput,
          "the model has no multi-token prediction module (num_nextn_predict_layers is 0)");
  prepare(pass);
  return mtp_->forward(hidden, ops::embedding(next_ids, *embedding_, compute_type()), pass,
                       pass.cache ? &pass.cache->layers.back() : nullptr);
}

Var Transformer::logits(const Var& hidden) { return ops::linear_to(gradient_type(compute_type()), hidden, *head_); }

DType Transformer::cache_type() const {
  const auto in_blocks = [](const Parameter& p) { return p.weight->blocks.defined(); };
  const std::vector<Parameter>& all = parameters_.parameters();
  const bool rounded = !config_.mla() && std::any_of(all.begin(), all.end(), in_blocks);
  return rounded ? DType::kBF16 : compute_type();
}

KvCache Transformer::make_cache(int64_t blocks, CacheForm form) const {
  const bool latent = config_.mla() && form == CacheForm::kLatent;
  const int64_t heads = config_.mla() ? config_.num_attention_heads : config_.num_key_value_heads;
  const Shape keys = {blocks, heads, config_.query_dim(), kCacheBlock},
              values = {blocks, heads, kCacheBlock, config_.value_dim()},
              rows = {blocks, kCacheBlock, config_.kv_lora_rank + config_.qk_rope_head_dim},
              index = {blocks, config_.index_head_dim, kCacheBlock};
  const int64_t layers = config_.num_hidden_layers + config_.num_nextn_predict_layers;
  // One piece of memory for all layers, which the system may map by large pages.
  Tensor memory = Tensor::make(backend(), cache_type(),
                               {layers * (index.count() + (latent ? rows.count() : keys.count() + values.count()))});
  const auto take = [&memory](Shape shape) {
    const int64_t count = shape.count();
    Tensor part = memory.slice(0, 0, count).view(shape);
    memory = memory.slice(0, count, memory.dim(0));
    return part;
  };
  KvCache cache;
  cache.blocks = blocks;
  for (int64_t layer = 0; layer < layers; layer++) {
    cache.layers.push_back(latent ? LayerCache{{}, {}, take(rows)} : LayerCache{take(keys), take(values), {}});
    if (config_.sparse_attention()) cache.layers.back().index_keys = take(index);
  }
  return cache;
}

void Transformer::set_training(bool on) {
  for (const Parameter& parameter : parameters_.parameters()) {
    Weight& weight = *parameter.weight;
    if (!on)
      weight.grad = Tensor();
    else if (!weight.grad && parameter.role != Role::kBuffer)
      weight.grad = Tensor::make(backend(), weight.value.dtype(), weight.value.shape());
  }
  if (on) zero_gradients();
}

void Transformer::zero_gradients() {
  for (const WeightPtr& weight : parameters_.weights()) weight->grad_is_zero = weight->trained();
}

void Transformer::refresh() {
  for (const WeightPtr& weight : parameters_.weights()) weight->refresh();
}

void initialize(Transformer& model, uint64_t seed, double embedding_std) {
  Backend& backend = model.backend();
  const ModelConfig& config = model.config();
  const double to_residual = 1 / std::sqrt(2.0 * double(config.num_hidden_layers));
  const auto deviation = [&](const Parameter& parameter) {
    const std::string& name = parameter.name;
    if (name == "model.embed_tokens.weight") return embedding_std;
    if (parameter.role != Role::kMatrix && parameter.role != Role::kBuffer) return config.initializer_range;
    const double std = 1 / std::sqrt(double(parameter.shape()[1]));
    return name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") ? std * to_residual : std;
  };
  uint64_t stream = 0;
  for (const Parameter& parameter : model.parameters()) {
    const Tensor value = parameter.value();
    Rng rng(seed, stream++);
    if (parameter.shape().rank() == 1) {
      backend.fill(value, parameter.name.ends_with("weight") ? 1 : 0);
      continue;
    }
    const double std = deviation(parameter);
    std::vector<float> numbers(static_cast<size_t>(value.count()));
    for (float& number : numbers) number = float(rng.normal() * std);
    backend.copy(value, Tensor::from_host<float>(backend, numbers, value.shape()));
  }
  model.refresh();
}

}  // namespace tenth
