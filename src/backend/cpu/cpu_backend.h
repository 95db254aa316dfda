// The CPU backend: checks and splits the work of each operation over threads, and calls the kernels of the instruction
// set in use (kernels.h) on the parts. What each operation computes is said in backend.h.
#pragma once
#include "backend/host_memory.h"

namespace tenth {

class CpuBackend : public HostBackend {
 public:
  CpuBackend();  // throws what cpu::active_isa() throws
  std::string_view name() const override { return "cpu"; }

  // elementwise: elementwise.cpp
  void fill(const Tensor& y, double value) override;
  void copy(const Tensor& y, const Tensor& x) override;
  void add(const Tensor& y, const Tensor& a, const Tensor& b) override;
  void scale(const Tensor& y, const Tensor& x, double factor) override;
  double sum_of_squares(const Tensor& x) override;

  // matrices: linear.cpp
  Tensor pack_weight(const Tensor& w) override;
  void linear_forward(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& packed, const Tensor& bias,
                      const Tensor& offsets) override;
  void linear_backward_input(const Tensor& dx, const Tensor& dy, const Tensor& w, const Tensor& offsets,
                             bool assign) override;
  void linear_backward_weight(const Tensor& dw, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                              const Tensor& offsets, bool assign) override;
  void matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
              const MatmulArgs& args) override;

  // weights of 8 or 4 bits: blocks.cpp
  void block_linear_forward(const Tensor& y, const Tensor& x, const BlockWeight& w, const Tensor& bias,
                            const Tensor& offsets) override;
  void block_heads_forward(const Tensor& y, const Tensor& x, const BlockWeight& w) override;
  void block_embedding_forward(const Tensor& y, const Tensor& ids, const BlockWeight& w) override;

  // 8-bit floating point: fp8.cpp
  void fp8_quantize(const Tensor& q, const Tensor& scales, const Tensor& x, const Tensor& offsets,
                    const Fp8Args& args) override;
  void fp8_dequantize(const Tensor& y, const Tensor& q, const Tensor& scales, const Tensor& offsets,
                      const Fp8Args& args) override;
  void fp8_round(const Tensor& y, const Tensor& x, const Tensor& offsets, const Fp8Args& args) override;

  // embedding: embedding.cpp
  void embedding_forward(const Tensor& y, const Tensor& ids, const Tensor& w) override;
  void embedding_backward(const Tensor& dw, const Tensor& dy, const Tensor& ids) override;

  // norms, rotation, activation: norm.cpp
  void rms_norm_forward(const Tensor& y, const Tensor& rstd, const Tensor& x, const Tensor& w, double eps) override;
  void rms_norm_backward(const Tensor& dx, const Tensor& dw, const Tensor& dy, const Tensor& dresidual, const Tensor& x,
                         const Tensor& rstd, const Tensor& w) override;
  void rope(const Tensor& y, const Tensor& x, const Tensor& positions, const Tensor& table, int64_t first,
            RopeStyle style, bool inverse) override;
  void swiglu_forward(const Tensor& y, const Tensor& gate_up) override;
  void swiglu_backward(const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up) override;

  // attention: attention.cpp
  void attention_forward(const Tensor& out, const Tensor& lse, const AttentionArgs& args) override;
  void attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dk_rope, const Tensor& dv,
                          const Tensor& dout, const Tensor& out, const Tensor& lse, const AttentionArgs& args) override;
  void cache_store(const LayerCache& cache, const Tensor& k, const Tensor& k_rope, const Tensor& v,
                   const CachePlaces& places) override;
  void cached_attention(const Tensor& out, const Tensor& q, const LayerCache& cache, const CachePlaces& places,
                        double scale, const Sight& sight) override;
  void mla_absorb_query(const Tensor& q_latent, const Tensor& q_nope, const Tensor& w) override;
  void mla_absorb_output(const Tensor& out, const Tensor& latent, const Tensor& w) override;

  // index.cpp
  void layer_norm(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& b, double eps) override;
  void select_keys(const Tensor& selected, const IndexArgs& args) override;

  // mixture of experts: gate.cpp, moe.cpp (gather_rows: embedding.cpp)
  void gate_forward(const Tensor& weights, const Tensor& experts, const Tensor& scores, const Tensor& logits,
                    const Tensor& bias, bool replay, const GateArgs& args) override;
  void gate_backward(const Tensor& dlogits, const Tensor& dweights, const Tensor& weights, const Tensor& experts,
                     const Tensor& scores, const GateArgs& args) override;
  void balance_loss_forward(const Tensor& loss, const Tensor& scores, const Tensor& experts,
                            const Tensor& segments) override;
  void balance_loss_backward(const Tensor& dlogits, const Tensor& dloss, const Tensor& scores, const Tensor& experts,
                             const Tensor& segments, GateArgs::Score score) override;
  void sort_by_expert(const Tensor& row_of, const Tensor& token_of, const Tensor& offsets,
                      const Tensor& experts) override;
  void gather_rows(const Tensor& y, const Tensor& x, const Tensor& rows) override;
  void combine_forward(const Tensor& y, const Tensor& x, const Tensor& weights, const Tensor& row_of) override;
  void combine_backward(const Tensor& dx, const Tensor& dweights, const Tensor& dy, const Tensor& x,
                        const Tensor& weights, const Tensor& row_of) override;

  // losses: loss.cpp
  void logprobs_forward(const Tensor& logprobs, const Tensor& lse, const Tensor& entropy, const Tensor& logits,
                        const Tensor& targets) override;
  void logprobs_backward(const Tensor& logits, const Tensor& dlogprobs, const Tensor& lse, const Tensor& targets,
                         const Tensor& dlse, int64_t first) override;

  // optimizer: optimizer.cpp
  void adamw_step(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& g, const AdamWArgs& args) override;
  void decay_where_aligned(const Tensor& y, const Tensor& x, double share) override;
  void axpby(const Tensor& y, double a, const Tensor& x, double b) override;
};

}  // namespace tenth
