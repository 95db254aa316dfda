// Scores of sparse attention's indexer, compiled once for each instruction set: include only from isa/*.cpp.
//
// score_s = sum_h w_h max(0, q_h . k_s), for a block of 64 keys at a time. A product is one chain over d, the sum one
// chain over h: a score has the same bits whatever is computed beside it.
#pragma once
#include "backend/cpu/attention_table.h"
#include "backend/cpu/attention_tiles.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

// scores (n) of one query, its packed heads (heads, d), with keys (d, 64).
template <class T>
void index_query(const IndexTask<T>& t, const float* q, const float* keys, float* products, const float* weights,
                 int64_t n, float* scores) {
  constexpr int64_t kHeads = 8;
  for (int64_t j = 0; j < n; j += kWidth) store(scores + j, zero());
  for (int64_t h = 0; h < t.heads; h += kHeads) {
    const int64_t count = least(kHeads, t.heads - h);
    multiply<false>(products, kAttentionKeys, q + h * t.d, t.d, keys, kAttentionKeys, count, n, t.d, false);
    for (int64_t r = 0; r < count; r++)
      for (int64_t j = 0; j < n; j += kWidth)
        store(scores + j, max(load(products + r * kAttentionKeys + j), zero()) * weights[h + r] + load(scores + j));
  }
}

template <class T>
void index_scores(const IndexTask<T>& t, float* memory) {
  float *keys = memory, *products = keys + t.d * kAttentionKeys, *q = products + 8 * kAttentionKeys;
  for (int64_t i = 0; i < t.queries; i++)
    pack_rows(q + i * t.heads * t.d, t.d, t.q + i * t.q_row, t.q_head, t.heads, t.d);
  const int64_t last = t.first + t.queries;
  for (int64_t first = 0; first < last; first += kAttentionKeys) {
    const int64_t count = least(kAttentionKeys, last - first);
    if (t.blocks)
      pack_rows(keys, kAttentionKeys, t.keys + t.blocks[first / kAttentionKeys] * t.key_block, kAttentionKeys, t.d,
                whole_vectors(count));
    else
      pack_transposed(keys, kAttentionKeys, t.keys + first * t.key_row, t.key_row, count, t.d);
    for (int64_t i = 0; i < t.queries; i++) {
      const int64_t visible = least(count, t.first + i + 1 - first);
      if (visible > 0)
        index_query(t, q + i * t.heads * t.d, keys, products, t.weights + i * t.weights_row, whole_vectors(visible),
                    t.scores + i * t.scores_row + first);
    }
  }
}

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
