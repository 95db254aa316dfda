// A backend whose operations do nothing. A step on it costs what a step costs outside of the kernels: tape, checks of
// shapes, allocation, the host's share of the data.
#pragma once
#include <cstring>

#include "backend/host_memory.h"

namespace tenth {

class IdleBackend : public HostBackend {
 public:
  using T = const Tensor&;
  std::string_view name() const override { return "idle"; }

  void fill(T, double) override {}
  void copy(T, T) override {}
  void add(T, T, T) override {}
  void scale(T, T, double) override {}
  double sum_of_squares(T) override { return 1; }
  Tensor pack_weight(T w) override { return Tensor::make(*this, w.dtype(), w.shape()); }
  void linear_forward(T, T, T, T, T, T) override {}
  void linear_backward_input(T, T, T, T, bool) override {}
  void linear_backward_weight(T, T, T, T, T, bool) override {}
  void matmul(T, T, bool, T, bool, const MatmulArgs&) override {}
  void block_linear_forward(T, T, const BlockWeight&, T, T) override {}
  void block_heads_forward(T, T, const BlockWeight&) override {}
  void block_embedding_forward(T, T, const BlockWeight&) override {}
  void fp8_quantize(T, T, T, T, const Fp8Args&) override {}
  void fp8_dequantize(T, T, T, T, const Fp8Args&) override {}
  void fp8_round(T, T, T, const Fp8Args&) override {}
  void embedding_forward(T, T, T) override {}
  void embedding_backward(T, T, T) override {}
  void rms_norm_forward(T, T, T, T, double) override {}
  void rms_norm_backward(T, T, T, T, T, T, T) override {}
  void rope(T, T, T, T, int64_t, RopeStyle, bool) override {}
  void swiglu_forward(T, T) override {}
  void swiglu_backward(T, T, T) override {}
  void attention_forward(T, T, const AttentionArgs&) override {}
  void attention_backward(T, T, T, T, T, T, T, const AttentionArgs&) override {}
  void cache_store(const LayerCache&, T, T, T, const CachePlaces&) override {}
  void layer_norm(T, T, T, T, double) override {}
  void select_keys(T, const IndexArgs&) override {}
  void cached_attention(T, T, const LayerCache&, const CachePlaces&, double, const Sight&) override {}
  void mla_absorb_query(T, T, T) override {}
  void mla_absorb_output(T, T, T) override {}
  void gate_forward(T, T, T, T, T, bool, const GateArgs&) override {}
  void gate_backward(T, T, T, T, T, const GateArgs&) override {}
  void balance_loss_forward(T loss, T, T, T) override { clear(loss); }
  void balance_loss_backward(T, T, T, T, T, GateArgs::Score) override {}
  void sort_by_expert(T, T, T offsets, T) override { clear(offsets); }
  void gather_rows(T, T, T) override {}
  void combine_forward(T, T, T, T) override {}
  void combine_backward(T, T, T, T, T, T) override {}
  void logprobs_forward(T logprobs, T, T, T, T) override { clear(logprobs); }
  void logprobs_backward(T, T, T, T, T, int64_t) override {}
  void adamw_step(T, T, T, T, const AdamWArgs&) override {}
  void decay_where_aligned(T, T, double) override {}
  void axpby(T, double, T, double) override {}

 private:
  // What the host reads back, in blocks that it may have written to before.
  static void clear(const Tensor& t) { std::memset(t.raw(), 0, t.bytes()); }
};

}  // namespace tenth
