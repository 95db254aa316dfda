// The model: embedding, blocks, final norm, head; and DeepSeek-V3's multi-token prediction module.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "nn/attention.h"
#include "nn/config.h"
#include "nn/feed_forward.h"
#include "nn/parameter.h"
#include "nn/pass.h"
#include "nn/rope_table.h"

namespace tenth {

// The residual stream between blocks: its value is x + delta; the sum is fused into the next norm.
struct Stream {
  Var x, delta;  // delta: not defined at the start
};

// x <- x + Attention(norm(x)); x <- x + FeedForward(norm(x))
class Block {
 public:
  // layer: 0 … num_hidden_layers - 1, or num_hidden_layers for that of the MTP module.
  Block(const ModelConfig& config, int64_t layer, bool sparse, ParameterList& parameters, const std::string& prefix);
  Stream forward(const Stream& stream, Pass& pass, LayerCache* cache);
  MoE* mixture() const { return mixture_; }

 private:
  double eps_;
  WeightPtr input_norm_, post_attention_norm_;
  std::unique_ptr<Attention> attention_;
  std::unique_ptr<FeedForward> feed_forward_;
  MoE* mixture_ = nullptr;
};

// Multi-token prediction, depth 1 (DeepSeek-V3 report, section 2.2): at position i it joins the trunk's state h_i,
// taken after the final norm, with the embedding of token i + 1, and predicts token i + 2:
//   x_i = eh_proj [enorm(Emb(t_{i+1})) ; hnorm(h_i)], one block, shared_head.norm, the shared head.
class MTP {
 public:
  MTP(const ModelConfig& config, ParameterList& parameters, const std::string& prefix);
  Var forward(const Var& hidden, const Var& next_embedding, Pass& pass, LayerCache* cache);
  MoE* mixture() const { return block_.mixture(); }

 private:
  double eps_;
  WeightPtr enorm_, hnorm_, eh_proj_;
  Block block_;
  WeightPtr head_norm_;
};

class Transformer {
 public:
  // Weights are not set: initialize() or load_model() does that. compute: f32, bf16, or f64 on the reference backend;
  // with FP8, the linears of blocks: not embedding, head, routers, norms, attention itself, nor eh_proj (V3
  // report, 3.3.1).
  Transformer(const ModelConfig& config, Backend& backend, ComputeType compute);

  // State after the final norm, (N, D).
  Var hidden(Pass& pass);
  // State of the multi-token prediction module, (N, D), to be given to the head. hidden: of the same pass; next_ids
  // (N): the token after each (any valid id where there is none: its row has no target, and being causal it touches no
  // other).
  Var mtp_hidden(const Var& hidden, const Tensor& next_ids, Pass& pass);
  // (N, V) f32 (f64 in f64)
  Var logits(const Var& hidden);
  Weight& head() { return *head_; }

  // form: of MLA; grouped-query attention knows one only.
  KvCache make_cache(int64_t blocks, CacheForm form = CacheForm::kLatent) const;
  // bf16 for keys and values of a model whose weights lie in blocks of few bits, which round more coarsely. Else the
  // compute type: latents are few, and in f32 they are read as they lie.
  DType cache_type() const;

  const ModelConfig& config() const { return config_; }
  Backend& backend() const { return parameters_.backend(); }
  DType compute_type() const { return parameters_.compute_type().dtype; }
  bool frozen() const { return parameters_.compute_type().frozen; }
  bool keeps_blocks() const { return parameters_.compute_type().keep_blocks; }
  std::vector<Parameter>& parameters() { return parameters_.parameters(); }
  std::span<MoE* const> mixtures() const { return mixtures_; }  // by depth, the MTP module's last
  bool has_mtp() const { return mtp_ != nullptr; }

  void set_training(bool on);  // makes or drops the gradient buffers
  void zero_gradients();
  void refresh();  // after weights changed

 private:
  void prepare(Pass& pass);

  ModelConfig config_;
  ParameterList parameters_;
  RopeTable rope_;
  WeightPtr embedding_, norm_, head_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::unique_ptr<MTP> mtp_;
  std::vector<MoE*> mixtures_;
};

// Random weights, a pure function of the seed. Matrices N(0, 1 / inputs), so that each keeps the size of what passes
// through; o_proj and down_proj, which write to the residual stream, divided by sqrt(2 layers) (GPT-2); head and router
// N(0, initializer_range^2); embedding N(0, embedding_std^2); norms 1, biases 0.
void initialize(Transformer& model, uint64_t seed, double embedding_std);

}  // namespace tenth
