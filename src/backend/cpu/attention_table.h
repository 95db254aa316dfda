// Attention kernels of one instruction set (attention_kernels.h). T is float, or uint16_t for bf16.
#pragma once
#include <cstdint>

namespace tenth::cpu {

// Keys are taken in blocks of this many, counted from the start of the sequence.
constexpr int64_t kAttentionKeys = 64;
// The sums over this many keys, counted likewise, are closed and then joined in order: always, so that threads may
// share the keys of one token and its bits stay.
constexpr int64_t kAttentionSplit = 256;
// Up to so many rows (queries times heads) read cached keys as they lie; more are worth a copy in float32.
constexpr int64_t kAttentionFewRows = 16;

// The keys and values of one sequence and one key head, from its first token on. Strides in elements.
template <class T>
struct AttentionSide {
  const T* k;       // rows of dk
  const T* k_rope;  // rows of dr, shared by all heads; null where dr = 0
  const T* v;       // rows of dv
  int64_t k_row, k_rope_row, v_row;
  int64_t dk, dr, dv;
  float scale;
};

// Sight::window as the kernels take it.
constexpr int64_t attention_window(int64_t window) { return window > 0 ? window : int64_t(1) << 40; }
// The first key that a query at `place` sees through a window of so many keys, its own the last of them.
constexpr int64_t attention_first_key(int64_t place, int64_t window) { return place < window ? 0 : place - window + 1; }

// Queries of neighbouring places, of the heads that share the keys. Query i sees the last `window` of the keys
// 0 … first + i; with `selected`, those of them whose bit is set.
template <class T>
struct AttentionRows {
  const T* q;  // rows of d
  T* out;      // rows of dv
  float* lse;  // null: not wanted; heads next to each other
  int64_t q_row, q_head, out_row, out_head, lse_row;
  int64_t first, queries, heads, window;
  const int32_t* selected;  // rows of words, or null
  int64_t selected_row;
};

template <class T>
struct AttendTask {
  AttentionSide<T> side;
  AttentionRows<T> rows;
};

// The same in the blocks of a cache: those of keys 64 i … are blocks[i] * key_block elements after keys.
template <class T>
struct CacheSide {
  const T* keys;    // (d, 64), or latent: 64 rows of d
  const T* values;  // 64 rows of dv, value_row apart; latent: the first columns of keys
  const int32_t* blocks;
  int64_t key_block, value_block, value_row;
  int64_t d, dv;
  bool latent;
  float scale;
};

// The first split that the rows see.
template <class T>
constexpr int64_t attention_first_split(const AttentionRows<T>& rows) {
  return attention_first_key(rows.first, rows.window) / kAttentionSplit;
}

// All keys that the rows see, into out; or, with part, the keys of one split, which attend_join takes up. C: the type
// of the cache, T or narrower.
template <class T, class C>
struct AttendCachedTask {
  CacheSide<C> side;
  AttentionRows<T> rows;
  float* part;    // attention_part_floats(heads queries, dv) floats, or null
  int64_t split;  // with part: which
};

constexpr int64_t attention_part_floats(int64_t rows, int64_t dv) { return rows * ((dv + 15) / 16 * 16 + 2); }

// The parts of rows, split by split from the first that they see, one after another.
template <class T>
struct JoinTask {
  AttentionRows<T> rows;
  int64_t dv;
  float* parts;  // overwritten
};

// A whole sequence, all query heads of one key head.
template <class T>
struct AttendGradTask {
  AttentionSide<T> side;
  const T *q, *dout, *out;
  const float* lse;
  T *dq, *dk, *dv;
  float* dk_rope;  // (length, dr) of this key head alone, contiguous; null where dr = 0
  int64_t q_row, q_head, dout_row, dout_head, out_row, out_head, lse_row, dq_row, dq_head, dk_row, dv_row;
  int64_t length, heads, window;
  const int32_t* selected;  // as in AttentionRows
  int64_t selected_row;
};

// Sparse attention's indexer: query i gets the scores sum_h w_h max(0, q_h . k) of the keys 0 … first + i.
template <class T>
struct IndexTask {
  const T* q;            // (queries, heads, d)
  const float* weights;  // (queries, heads)
  const T* keys;  // rows of d from the sequence's first token on, or, with blocks, those of a cache: (d, 64) each
  const int32_t* blocks;
  float* scores;  // (queries, places in whole blocks)
  int64_t q_row, q_head, weights_row, key_row, key_block, scores_row;
  int64_t first, queries, heads, d;
};

// Of scratch memory.
template <class T>
constexpr int64_t index_floats(const IndexTask<T>& t) {
  return kAttentionKeys * (t.d + 8) + t.queries * t.heads * t.d + 64;
}

template <class T>
struct AttentionKernelsOf {
  void (*attend)(const AttendTask<T>& task, float* scratch);
  // Over a cache of T, and over one in bf16.
  void (*attend_cached)(const AttendCachedTask<T, T>& task, float* scratch);
  void (*attend_cached_bf16)(const AttendCachedTask<T, uint16_t>& task, float* scratch);
  void (*attend_join)(const JoinTask<T>& task);
  void (*attend_grad)(const AttendGradTask<T>& task, float* scratch);
  void (*index_scores)(const IndexTask<T>& task, float* scratch);
};

struct AttentionKernels {
  AttentionKernelsOf<float> f32;
  AttentionKernelsOf<uint16_t> bf16;
};

}  // namespace tenth::cpu
