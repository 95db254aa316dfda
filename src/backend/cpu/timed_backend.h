// The CPU backend with a clock on each operation: for `tenth bench step --profile` and `tenth train --profile`.
#pragma once
#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "backend/cpu/cpu_backend.h"

namespace tenth {

class TimedBackend final : public CpuBackend {
  using T = const Tensor&;

 public:
  struct Entry {
    int64_t calls = 0;
    double seconds = 0, operations = 0;  // operations: multiplications and additions of matrix products
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }
  void reset() { entries_.clear(); }

 private:
  template <class Work>
  auto timed(const char* name, double operations, const Work& work) {
    struct Stop {  // also where work throws
      TimedBackend& backend;
      const char* name;
      double operations;
      std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
      ~Stop() {
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        const std::lock_guard lock(backend.mutex_);
        Entry& entry = backend.entries_[name];
        entry.calls++;
        entry.seconds += took.count();
        entry.operations += operations;
      }
    };
    const Stop stop{*this, name, operations};
    return work();
  }
  // Of rows (N, O) by weights (…, O, I).
  static double products(T rows, T w) { return 2.0 * double(rows.count()) * double(w.dim(-1)); }

 public:
  void fill(T y, double value) override {
    return timed("fill", 0, [&] { return CpuBackend::fill(y, value); });
  }
  void copy(T y, T x) override {
    return timed("copy", 0, [&] { return CpuBackend::copy(y, x); });
  }
  void add(T y, T a, T b) override {
    return timed("add", 0, [&] { return CpuBackend::add(y, a, b); });
  }
  void scale(T y, T x, double factor) override {
    return timed("scale", 0, [&] { return CpuBackend::scale(y, x, factor); });
  }
  double sum_of_squares(T x) override {
    return timed("sum_of_squares", 0, [&] { return CpuBackend::sum_of_squares(x); });
  }
  Tensor pack_weight(T w) override {
    return timed("pack_weight", 0, [&] { return CpuBackend::pack_weight(w); });
  }
  void linear_forward(T y, T x, T w, T packed, T bias, T offsets) override {
    return timed("linear_forward", 2.0 * double(y.count()) * double(x.dim(1)),
                 [&] { return CpuBackend::linear_forward(y, x, w, packed, bias, offsets); });
  }
  void linear_backward_input(T dx, T dy, T w, T offsets, bool assign) override {
    return timed("linear_backward_input", products(dy, w),
                 [&] { return CpuBackend::linear_backward_input(dx, dy, w, offsets, assign); });
  }
  void linear_backward_weight(T dw, T dbias, T dy, T x, T offsets, bool assign) override {
    return timed("linear_backward_weight", products(dy, dw),
                 [&] { return CpuBackend::linear_backward_weight(dw, dbias, dy, x, offsets, assign); });
  }
  void matmul(T c, T a, bool transpose_a, T b, bool transpose_b, const MatmulArgs& args) override {
    const double half = args.symmetric ? 1 : 2;
    return timed("matmul", half * double(c.count()) * double(a.dim(transpose_a ? 0 : 1)),
                 [&] { return CpuBackend::matmul(c, a, transpose_a, b, transpose_b, args); });
  }
  void block_linear_forward(T y, T x, const BlockWeight& w, T bias, T offsets) override {
    return timed("block_linear_forward", 2.0 * double(y.count()) * double(w.inputs),
                 [&] { return CpuBackend::block_linear_forward(y, x, w, bias, offsets); });
  }
  void block_heads_forward(T y, T x, const BlockWeight& w) override {
    return timed("block_heads_forward", 2.0 * double(x.count()) * double(w.outputs),
                 [&] { return CpuBackend::block_heads_forward(y, x, w); });
  }
  void block_embedding_forward(T y, T ids, const BlockWeight& w) override {
    return timed("block_embedding_forward", 0, [&] { return CpuBackend::block_embedding_forward(y, ids, w); });
  }
  void embedding_forward(T y, T ids, T w) override {
    return timed("embedding_forward", 0, [&] { return CpuBackend::embedding_forward(y, ids, w); });
  }
  void embedding_backward(T dw, T dy, T ids) override {
    return timed("embedding_backward", 0, [&] { return CpuBackend::embedding_backward(dw, dy, ids); });
  }
  void rms_norm_forward(T y, T rstd, T x, T w, double eps) override {
    return timed("rms_norm_forward", 0, [&] { return CpuBackend::rms_norm_forward(y, rstd, x, w, eps); });
  }
  void rms_norm_backward(T dx, T dw, T dy, T dresidual, T x, T rstd, T w) override {
    return timed("rms_norm_backward", 0,
                 [&] { return CpuBackend::rms_norm_backward(dx, dw, dy, dresidual, x, rstd, w); });
  }
  void rope(T y, T x, T positions, T table, int64_t first, RopeStyle style, bool inverse) override {
    return timed("rope", 0, [&] { return CpuBackend::rope(y, x, positions, table, first, style, inverse); });
  }
  void swiglu_forward(T y, T gate_up) override {
    return timed("swiglu_forward", 0, [&] { return CpuBackend::swiglu_forward(y, gate_up); });
  }
  void swiglu_backward(T dgate_up, T dy, T gate_up) override {
    return timed("swiglu_backward", 0, [&] { return CpuBackend::swiglu_backward(dgate_up, dy, gate_up); });
  }
  void attention_forward(T out, T lse, const AttentionArgs& args) override {
    return timed("attention_forward", 0, [&] { return CpuBackend::attention_forward(out, lse, args); });
  }
  void attention_backward(T dq, T dk, T dk_rope, T dv, T dout, T out, T lse, const AttentionArgs& args) override {
    return timed("attention_backward", 0,
                 [&] { return CpuBackend::attention_backward(dq, dk, dk_rope, dv, dout, out, lse, args); });
  }
  void cache_store(const LayerCache& cache, T k, T k_rope, T v, const CachePlaces& places) override {
    return timed("cache_store", 0, [&] { return CpuBackend::cache_store(cache, k, k_rope, v, places); });
  }
  void layer_norm(T y, T x, T w, T b, double eps) override {
    return timed("layer_norm", 0, [&] { return CpuBackend::layer_norm(y, x, w, b, eps); });
  }
  void select_keys(T selected, const IndexArgs& args) override {
    return timed("select_keys", 0, [&] { return CpuBackend::select_keys(selected, args); });
  }
  void cached_attention(T out, T q, const LayerCache& cache, const CachePlaces& places, double scale,
                        const Sight& sight) override {
    return timed("cached_attention", 0,
                 [&] { return CpuBackend::cached_attention(out, q, cache, places, scale, sight); });
  }
  void mla_absorb_query(T q_latent, T q_nope, T w) override {
    return timed("mla_absorb_query", 0, [&] { return CpuBackend::mla_absorb_query(q_latent, q_nope, w); });
  }
  void mla_absorb_output(T out, T latent, T w) override {
    return timed("mla_absorb_output", 0, [&] { return CpuBackend::mla_absorb_output(out, latent, w); });
  }
  void gate_forward(T weights, T experts, T scores, T logits, T bias, bool replay, const GateArgs& args) override {
    return timed("gate_forward", 0,
                 [&] { return CpuBackend::gate_forward(weights, experts, scores, logits, bias, replay, args); });
  }
  void gate_backward(T dlogits, T dweights, T weights, T experts, T scores, const GateArgs& args) override {
    return timed("gate_backward", 0,
                 [&] { return CpuBackend::gate_backward(dlogits, dweights, weights, experts, scores, args); });
  }
  void balance_loss_forward(T loss, T scores, T experts, T segments) override {
    return timed("balance_loss_forward", 0,
                 [&] { return CpuBackend::balance_loss_forward(loss, scores, experts, segments); });
  }
  void balance_loss_backward(T dlogits, T dloss, T scores, T experts, T segments, GateArgs::Score score) override {
    return timed("balance_loss_backward", 0,
                 [&] { return CpuBackend::balance_loss_backward(dlogits, dloss, scores, experts, segments, score); });
  }
  void sort_by_expert(T row_of, T token_of, T offsets, T experts) override {
    return timed("sort_by_expert", 0, [&] { return CpuBackend::sort_by_expert(row_of, token_of, offsets, experts); });
  }
  void gather_rows(T y, T x, T rows) override {
    return timed("gather_rows", 0, [&] { return CpuBackend::gather_rows(y, x, rows); });
  }
  void combine_forward(T y, T x, T weights, T row_of) override {
    return timed("combine_forward", 0, [&] { return CpuBackend::combine_forward(y, x, weights, row_of); });
  }
  void combine_backward(T dx, T dweights, T dy, T x, T weights, T row_of) override {
    return timed("combine_backward", 0,
                 [&] { return CpuBackend::combine_backward(dx, dweights, dy, x, weights, row_of); });
  }
  void logprobs_forward(T logprobs, T lse, T entropy, T logits, T targets) override {
    return timed("logprobs_forward", 0,
                 [&] { return CpuBackend::logprobs_forward(logprobs, lse, entropy, logits, targets); });
  }
  void logprobs_backward(T logits, T dlogprobs, T lse, T targets, T dlse, int64_t first) override {
    return timed("logprobs_backward", 0,
                 [&] { return CpuBackend::logprobs_backward(logits, dlogprobs, lse, targets, dlse, first); });
  }
  void adamw_step(T p, T m, T v, T g, const AdamWArgs& args) override {
    return timed("adamw_step", 0, [&] { return CpuBackend::adamw_step(p, m, v, g, args); });
  }
  void decay_where_aligned(T p, T update, double factor) override {
    return timed("decay_where_aligned", 0, [&] { return CpuBackend::decay_where_aligned(p, update, factor); });
  }
  void fp8_quantize(T q, T scales, T x, T offsets, const Fp8Args& args) override {
    return timed("fp8_quantize", 0, [&] { return CpuBackend::fp8_quantize(q, scales, x, offsets, args); });
  }
  void fp8_dequantize(T y, T q, T scales, T offsets, const Fp8Args& args) override {
    return timed("fp8_dequantize", 0, [&] { return CpuBackend::fp8_dequantize(y, q, scales, offsets, args); });
  }
  void fp8_round(T y, T x, T offsets, const Fp8Args& args) override {
    return timed("fp8_round", 0, [&] { return CpuBackend::fp8_round(y, x, offsets, args); });
  }
  void axpby(T y, double a, T x, double b) override {
    return timed("axpby", 0, [&] { return CpuBackend::axpby(y, a, x, b); });
  }

 private:
  std::mutex mutex_;  // Muon updates small matrices side by side
  std::map<std::string, Entry> entries_;
};

// A line an operation, the longest first: share of the time, calls, milliseconds, GFLOP/s of matrix products. steps:
// the calls and times are given for one. Operations that ran side by side (small matrices of Muon) count each.
std::string profile_table(const TimedBackend& backend, double seconds, int steps);

}  // namespace tenth
