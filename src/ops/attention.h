// Causal attention over packed sequences.
#pragma once
#include "autograd/tape.h"

namespace tenth::ops {

// Grouped-query attention. q (N, H d), k and v (N, Hkv d) contiguous -> (N, H d).
struct GqaShape {
  int64_t heads, kv_heads, head_dim;
  Sight sight = {};
};
Var gqa_attention(const Var& q, const Var& k, const Var& v, const Tensor& segments, const GqaShape& shape,
                  double scale);

// MLA in its expanded form. q (N, H (dn + dr)), rotated; kv (N, H (dn + dv)): per head k_nope then v; k_rope (N, dr),
// rotated
// -> (N, H dv).
struct MlaShape {
  int64_t heads, nope_dim, rope_dim, value_dim;
  Sight sight = {};
};
Var mla_attention(const Var& q, const Var& kv, const Var& k_rope, const Tensor& segments, const MlaShape& shape,
                  double scale);

}  // namespace tenth::ops
