#include "ops/attention.h"

namespace tenth::ops {
namespace {

struct Attended {
  Tensor out, lse;
};

Attended forward(const AttentionArgs& args, int64_t value_dim) {
  Backend& backend = backend_of(args.q);
  const int64_t tokens = args.q.dim(0), heads = args.q.dim(1);
  Attended a{Tensor::make(backend, args.q.dtype(), {tokens, heads, value_dim}),
             Tensor::make(backend, gradient_type(args.q.dtype()), {tokens, heads})};
  backend.attention_forward(a.out, a.lse, args);
  return a;
}

AttentionArgs arguments(const Var& q, const Var& k, const Var& v, const Tensor& segments, const GqaShape& s,
                        double scale) {
  return {q.value().view({-1, s.heads, s.head_dim}),
          k.value().view({-1, s.kv_heads, s.head_dim}),
          Tensor(),
          v.value().view({-1, s.kv_heads, s.head_dim}),
          segments,
          scale,
          s.sight};
}

AttentionArgs arguments(const Var& q, const Var& kv, const Var& k_rope, const Tensor& segments, const MlaShape& s,
                        double scale) {
  const Tensor by_head = kv.value().view({-1, s.heads, s.nope_dim + s.value_dim});
  return {q.value().view({-1, s.heads, s.nope_dim + s.rope_dim}),
          by_head.slice(2, 0, s.nope_dim),
          k_rope.value(),
          by_head.slice(2, s.nope_dim, s.nope_dim + s.value_dim),
          segments,
          scale,
          s.sight};
}

}  // namespace

Var gqa_attention(const Var& q, const Var& k, const Var& v, const Tensor& segments, const GqaShape& s, double scale) {
  Attended a = forward(arguments(q, k, v, segments, s, scale), s.head_dim);
  const auto back = [=, q = q.kept(), k = k.kept(), v = v.kept()](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    const AttentionArgs args = arguments(q, k, v, segments, s, scale);
    Tensor dq = Tensor::make(backend, dy.dtype(), args.q.shape());
    Tensor dk = Tensor::make(backend, dy.dtype(), args.k.shape());
    Tensor dv = Tensor::make(backend, dy.dtype(), args.v.shape());
    backend.attention_backward(dq, dk, Tensor(), dv, dy.view(a.out.shape()), a.out, a.lse, args);
    q.add_gradient(dq.view(q.value().shape()));
    k.add_gradient(dk.view(k.value().shape()));
    v.add_gradient(dv.view(v.value().shape()));
  };
  return record(a.out.view(q.value().shape()), q.needs_gradient() || k.needs_gradient() || v.needs_gradient(), back);
}

Var mla_attention(const Var& q, const Var& kv, const Var& k_rope, const Tensor& segments, const MlaShape& s,
                  double scale) {
  Attended a = forward(arguments(q, kv, k_rope, segments, s, scale), s.value_dim);
  const auto back = [=, q = q.kept(), kv = kv.kept(), k_rope = k_rope.kept()](const Tensor& dy) {
    Backend& backend = backend_of(dy);
    const AttentionArgs args = arguments(q, kv, k_rope, segments, s, scale);
    Tensor dq = Tensor::make(backend, dy.dtype(), args.q.shape());
    Tensor dkv = Tensor::make(backend, dy.dtype(), {dq.dim(0), s.heads, s.nope_dim + s.value_dim});
    Tensor dk_rope = Tensor::make(backend, dy.dtype(), k_rope.value().shape());
    backend.attention_backward(dq, dkv.slice(2, 0, s.nope_dim), dk_rope,
                               dkv.slice(2, s.nope_dim, s.nope_dim + s.value_dim), dy.view(a.out.shape()), a.out, a.lse,
                               args);
    q.add_gradient(dq.view(q.value().shape()));
    kv.add_gradient(dkv.view(kv.value().shape()));
    k_rope.add_gradient(dk_rope);
  };
  const bool wanted = q.needs_gradient() || kv.needs_gradient() || k_rope.needs_gradient();
  return record(a.out.view({-1, s.heads * s.value_dim}), wanted, back);
}

}  // namespace tenth::ops
