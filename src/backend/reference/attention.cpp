// Causal attention over whole sequences, forward and backward.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {
namespace {

// The arguments with keys as one: key(j, g) = [k_jg ; k_rope_j], g the key head that serves query head h.
struct Heads {
  View q, k, k_rope, v;
  Seen seen;
  int64_t queries_a_key, width_k, width_qk, width_v;
  double scale;

  explicit Heads(const AttentionArgs& args)
      : q(args.q),
        k(args.k),
        k_rope(args.k_rope),
        v(args.v),
        seen(args.sight),
        queries_a_key(args.q.dim(1) / args.k.dim(1)),
        width_k(args.k.dim(2)),
        width_qk(args.q.dim(2)),
        width_v(args.v.dim(2)),
        scale(args.scale) {}

  int64_t key_head(int64_t h) const { return h / queries_a_key; }
  double key(int64_t j, int64_t g, int64_t d) const { return d < width_k ? k(j, g, d) : k_rope(j, d - width_k); }
  // Of a sequence that begins with token `begin`.
  double score(int64_t begin, int64_t i, int64_t h, int64_t j) const {
    if (!seen(i, i - begin, j - begin)) return -std::numeric_limits<double>::infinity();
    double sum = 0;
    for (int64_t d = 0; d < width_qk; d++) sum += q(i, h, d) * key(j, key_head(h), d);
    return scale * sum;
  }
};

// Calls body(begin, i) for every token i, begin the first token of its sequence.
template <class Body>
void each_token(const Tensor& segments_, const Body& body) {
  View segments(segments_);
  for (int64_t s = 0; s + 1 < segments_.dim(0); s++)
    for (int64_t i = int64_t(segments(s)); i < int64_t(segments(s + 1)); i++) body(int64_t(segments(s)), i);
}

}  // namespace

// s_j = scale q_i . k_j;  lse_i = ln sum_j e^{s_j};  out_i = sum_j e^{s_j - lse_i} v_j,  begin <= j <= i;  s_j =
// -infinity where i does not see j
void ReferenceBackend::attention_forward(const Tensor& out_, const Tensor& lse_, const AttentionArgs& args) {
  View out(out_), lse(lse_);
  Heads heads(args);
  each_token(args.segments, [&](int64_t begin, int64_t i) {
    for (int64_t h = 0; h < args.q.dim(1); h++) {
      Array p(i - begin + 1);
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t j = begin; j <= i; j++) {
        p(j - begin) = heads.score(begin, i, h, j);
        top = std::max(top, p(j - begin));
      }
      for (int64_t j = begin; j <= i; j++) sum += p(j - begin) = std::exp(p(j - begin) - top);
      lse(i, h) = top + std::log(sum);
      for (int64_t d = 0; d < heads.width_v; d++) {
        double value = 0;
        for (int64_t j = begin; j <= i; j++) value += p(j - begin) / sum * heads.v(j, heads.key_head(h), d);
        out(i, h, d) = value;
      }
    }
  });
}

// P_ij = e^{s_ij - lse_i};  dv_j = sum_i P_ij dout_i;  dP_ij = dout_i . v_j;  delta_i = dout_i . out_i
// dS_ij = scale P_ij (dP_ij - delta_i);  dq_i = sum_j dS_ij k_j;  dk_j = sum_i dS_ij q_i, each over the heads it serves
void ReferenceBackend::attention_backward(const Tensor& dq_, const Tensor& dk_, const Tensor& dk_rope_,
                                          const Tensor& dv_, const Tensor& dout_, const Tensor& out_,
                                          const Tensor& lse_, const AttentionArgs& args) {
  View dq(dq_), dk(dk_), dk_rope(dk_rope_), dv(dv_), dout(dout_), out(out_), lse(lse_);
  Heads heads(args);
  const int64_t tokens = args.k.dim(0), key_heads = args.k.dim(1);
  Array dkey(tokens, key_heads, heads.width_qk), dvalue(tokens, key_heads, heads.width_v);
  each_token(args.segments, [&](int64_t begin, int64_t i) {
    for (int64_t h = 0; h < args.q.dim(1); h++) {
      const int64_t g = heads.key_head(h);
      Array dquery(heads.width_qk);
      double delta = 0;
      for (int64_t d = 0; d < heads.width_v; d++) delta += dout(i, h, d) * out(i, h, d);
      for (int64_t j = begin; j <= i; j++) {
        const double p = std::exp(heads.score(begin, i, h, j) - lse(i, h));
        double dp = 0;
        for (int64_t d = 0; d < heads.width_v; d++) {
          dp += dout(i, h, d) * heads.v(j, g, d);
          dvalue(j, g, d) += p * dout(i, h, d);
        }
        const double ds = heads.scale * p * (dp - delta);
        for (int64_t d = 0; d < heads.width_qk; d++) {
          dquery(d) += ds * heads.key(j, g, d);
          dkey(j, g, d) += ds * heads.q(i, h, d);
        }
      }
      for (int64_t d = 0; d < heads.width_qk; d++) dq(i, h, d) = dquery(d);
    }
  });
  for (int64_t j = 0; j < tokens; j++) {
    for (int64_t g = 0; g < key_heads; g++) {
      for (int64_t d = 0; d < heads.width_k; d++) dk(j, g, d) = dkey(j, g, d);
      for (int64_t d = 0; d < heads.width_v; d++) dv(j, g, d) = dvalue(j, g, d);
    }
    for (int64_t d = heads.width_k; d < heads.width_qk; d++) {
      double sum = 0;  // one rotary key serves all heads
      for (int64_t g = 0; g < key_heads; g++) sum += dkey(j, g, d);
      dk_rope(j, d - heads.width_k) = sum;
    }
  }
}

}  // namespace tenth::reference
