// Causal attention in blocks of 64 keys (FlashAttention: arXiv 2205.14135, 2307.08691), compiled once for each
// instruction set: include only from isa/*.cpp.
//
// Forward, for a group of up to 8 rows (queries of one head, or heads of one query) and each key block in order:
//   S = scale Q K^T;  m' = max(m, rowmax S);  P = exp(S - m');  l = l exp(m - m') + rowsum P;  O = O exp(m - m') + P V
// Every 256 keys m, l, O begin anew, and are joined in order (Flash-Decoding): with M = max(m1, m2)
//   l = l1 exp(m1 - M) + l2 exp(m2 - M);  O = O1 exp(m1 - M) + O2 exp(m2 - M)
// and at the end out = O / l, lse = m + ln l.
// Backward, with P = exp(S - lse) made again and delta = rowsum(dO o O):
//   dV += P^T dO;  dP = dO V^T;  dS = scale P o (dP - delta);  dQ += dS K;  dK += dS^T Q.
//
// Every product is "broadcasts of A times rows of B" (attention_tiles.h), so that an element is one chain of
// multiply-adds over the inner index in order: its bits depend neither on the tile that computed it nor on the rows
// that shared the tile. Key blocks and splits are counted from the start of the sequence. Hence a token's result is the
// same in training, prefill and decode, on one thread or many, wherever q, k and v are.
//
// Where rows do not see all keys before them (a window, a selection), a block of which none of them sees a key is
// skipped, and the sums of a split begin as those over nothing (m = -infinity, l = O = 0), to which a block that a row
// does not see adds nothing: so it is all the same to a row which blocks the others need.
#pragma once
#include "backend/cpu/attention_table.h"
#include "backend/cpu/attention_tiles.h"
#include "backend/cpu/gemm_pack.h"
#include "backend/cpu/index_kernels.h"
#include "backend/cpu/lanes.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr int64_t kGroup = 8;
static_assert(kAttentionSplit % kAttentionKeys == 0);

// Parts of the scratch memory, each aligned to 64 bytes.
struct Scratch {
  float* next;
  float* take(int64_t count) {
    float* part = next;
    next += (count + 15) / 16 * 16;
    return part;
  }
};

template <class T>
void pack_keys_transposed(float* y, const AttentionSide<T>& t, int64_t first, int64_t rows) {
  pack_transposed(y, kAttentionKeys, t.k + first * t.k_row, t.k_row, rows, t.dk);
  if (t.dr > 0)
    pack_transposed(y + t.dk * kAttentionKeys, kAttentionKeys, t.k_rope + first * t.k_rope_row, t.k_rope_row, rows,
                    t.dr);
}

// --- forward ---------------------------------------------------------------------------------------------------------

// m, l and O of rows.
struct Sums {
  float *o, *top, *sum;  // (rows, wide), (rows), (rows); wide: dv in whole vectors
};

// Up to kGroup rows of the packed queries, each step apart, and the keys of this block that they see: bit j the jth.
struct AttendGroup {
  int64_t row, step, count;
  uint64_t seen[kGroup];
};

// The keys first … first + 63 that a query at `place` sees. selected: its words, or null.
TENTH_INLINE uint64_t seen_keys(int64_t place, int64_t window, const int32_t* selected, int64_t first) {
  const int64_t end = place + 1 - first, begin = attention_first_key(place, window) - first;
  if (end <= 0 || begin >= kAttentionKeys) return 0;
  uint64_t seen = end < kAttentionKeys ? (uint64_t(1) << end) - 1 : ~uint64_t(0);
  if (selected) seen &= uint64_t(uint32_t(selected[first / 32 + 1])) << 32 | uint32_t(selected[first / 32]);
  return begin > 0 ? seen >> begin << begin : seen;
}

template <class T>
TENTH_INLINE uint64_t seen_keys(const AttentionRows<T>& t, int64_t i, int64_t first) {
  return seen_keys(t.first + i, t.window, t.selected ? t.selected + i * t.selected_row : nullptr, first);
}

// Up to and with the last of them.
TENTH_INLINE int64_t reach(uint64_t seen) { return seen ? 64 - __builtin_clzll(seen) : 0; }
TENTH_INLINE bool all_up_to_reach(uint64_t seen) { return (seen & (seen + 1)) == 0; }

struct AttendState {
  float *q, *scores;  // (rows, d); (kGroup, 64), or (kAttentionFewRows, 64)
  Sums sums;          // of this split
  int64_t d, wide;
  float scale;
  bool partial;  // some row does not see all keys before it
};

// A block of keys and values: float32, bf16 or, along d and along the keys, pairs of bf16. Queries and P come as pairs
// then too.
template <class B>
struct KeyBlock {
  const B* keys;    // (d, 64); null: the scores of all rows are there already
  const B* values;  // (count, ldv)
  int64_t ldv;
  int64_t first, count;  // the place of the first key; how many the rows see
  const B* next;         // null; or where the next keys lie, if these come from memory
};

// The largest of the scores that are seen, scaled.
TENTH_INLINE float largest_score(const float* s, uint64_t seen, float scale) {
  const Vec nothing = broadcast(-__builtin_inff());
  const int64_t visible = reach(seen);
  Vec most = nothing;
  int64_t j = 0;
  if (!all_up_to_reach(seen)) {
    for (; j < visible; j += kWidth) most = max(most, keep_bits(load(s + j) * scale, uint32_t(seen >> j), nothing));
    return fold_max(most);
  }
  for (; j + kWidth <= visible; j += kWidth) most = max(most, load(s + j) * scale);
  if (j < visible) most = max(most, keep_first(load(s + j) * scale, int(visible - j), nothing));
  return fold_max(most);
}

// The scores that are seen become exp(scale s - top), the others up to n 0. Returns their sum.
TENTH_INLINE float exponentials(float* s, int64_t n, uint64_t seen, float scale, float top) {
  const int64_t visible = reach(seen);
  Vec total = zero();
  int64_t j = 0;
  for (; j < visible && !all_up_to_reach(seen); j += kWidth) {
    const Vec p = keep_bits(exp(load(s + j) * scale - top), uint32_t(seen >> j), zero());
    total = total + p;
    store(s + j, p);
  }
  for (; j + kWidth <= visible; j += kWidth) {
    const Vec p = exp(load(s + j) * scale - top);
    total = total + p;
    store(s + j, p);
  }
  if (j < visible) {
    const Vec p = keep_first(exp(load(s + j) * scale - top), int(visible - j), zero());
    total = total + p;
    store(s + j, p);
    j += kWidth;
  }
  for (; j < n; j += kWidth) store(s + j, zero());
  return fold_sum(total);
}

template <class B>
void attend_group(const AttendState& a, const AttendGroup& g, const KeyBlock<B>& block) {
  uint64_t any = 0;
  for (int64_t r = 0; r < g.count; r++) any |= g.seen[r];
  if (any == 0) return;
  const int64_t seen = reach(any), n = whole_vectors(seen);
  const bool opens = !a.partial && block.first % kAttentionSplit == 0;
  float *o = a.sums.o + g.row * a.wide, *scores = a.scores;
  int64_t lds = kAttentionKeys;
  if (block.next) {
    multiply_fetching(scores, lds, a.q + g.row * a.d, g.step * a.d, block.keys, kAttentionKeys, g.count, n, a.d, false,
                      block.values);
  } else if (block.keys) {
    multiply<false>(scores, lds, a.q + g.row * a.d, g.step * a.d, block.keys, kAttentionKeys, g.count, n,
                    kPaired<B> ? a.d / 2 : a.d, false);
  } else {
    scores += g.row * kAttentionKeys;
    lds *= g.step;
  }
  float top[kGroup];
  for (int64_t r = 0; r < g.count; r++) top[r] = largest_score(scores + r * lds, g.seen[r], a.scale);
  for (int64_t r = 0; r < g.count && !opens; r++) {
    const int64_t row = g.row + r * g.step;
    const float old = a.sums.top[row];
    if (!(top[r] > old)) {
      top[r] = old;
      continue;
    }
    const float shrink = exp(broadcast(old - top[r]))[0];
    a.sums.sum[row] *= shrink;
    float* sums = o + r * g.step * a.wide;
    for (int64_t j = 0; j < a.wide; j += kWidth) store(sums + j, load(sums + j) * shrink);
  }
  for (int64_t r = 0; r < g.count; r++) {
    const int64_t row = g.row + r * g.step;
    a.sums.top[row] = top[r];
    const float sum = exponentials(scores + r * lds, n, g.seen[r], a.scale, top[r]);
    a.sums.sum[row] = opens ? sum : a.sums.sum[row] + sum;
    if constexpr (kPaired<B>) narrow_in_place(scores + r * lds, n);
  }
  if (block.next)
    multiply_fetching(o, g.step * a.wide, scores, lds, block.values, block.ldv, g.count, a.wide, seen, !opens,
                      block.next);
  else
    multiply<false>(o, g.step * a.wide, scores, lds, block.values, block.ldv, g.count, a.wide,
                    kPaired<B> ? (seen + 1) / 2 : seen, !opens);
}

// All groups of the rows against a key block. No group straddles the start of a block: where nothing but later keys is
// hidden, each of a group's rows sees at least one key or none does.
template <class T, class B>
void attend_block(const AttentionRows<T>& t, const AttendState& a, const KeyBlock<B>& block) {
  if (t.queries < kGroup && t.heads > t.queries) {  // few queries: groups of heads, which see the same keys
    for (int64_t i = 0; i < t.queries; i++) {
      AttendGroup g = {i, t.queries, 0, {}};
      for (uint64_t& seen : g.seen) seen = seen_keys(t, i, block.first);
      for (int64_t h = 0; h < t.heads; h += kGroup) {
        g.row = h * t.queries + i;
        g.count = least(kGroup, t.heads - h);
        attend_group(a, g, block);
      }
    }
    return;
  }
  for (int64_t h = 0; h < t.heads; h++)
    for (int64_t i = 0, next; i < t.queries; i = next) {
      next = least(t.queries, i + kGroup - (t.first + i) % kGroup);
      AttendGroup g = {h * t.queries + i, 1, next - i, {}};
      for (int64_t r = 0; r < g.count; r++) g.seen[r] = seen_keys(t, i + r, block.first);
      attend_group(a, g, block);
    }
}

// total = the two joined, for one row; nothing but zeros in the sum: it saw none of the keys.
void join(const Sums& total, const Sums& next, int64_t row, int64_t wide) {
  if (next.sum[row] == 0) return;
  const float before = total.top[row], after = next.top[row], top = after > before ? after : before;
  const float keep = exp(broadcast(before - top))[0], add = exp(broadcast(after - top))[0];
  total.top[row] = top;
  total.sum[row] = total.sum[row] * keep + next.sum[row] * add;
  float *to = total.o + row * wide, *from = next.o + row * wide;
  for (int64_t j = 0; j < wide; j += kWidth) store(to + j, load(to + j) * keep + load(from + j) * add);
}

// join for the rows that see keys of the split that begins at `split`.
template <class T>
void join_rows(const AttentionRows<T>& t, const Sums& total, const Sums& next, int64_t split, int64_t wide) {
  for (int64_t h = 0; h < t.heads; h++)
    for (int64_t i = 0; i < t.queries; i++)
      if (t.first + i >= split) join(total, next, h * t.queries + i, wide);
}

// Calls block(first, count) for every block of a split that the rows see; the sums come into a.sums.
template <class T, class Block>
void attend_split(const AttentionRows<T>& t, const AttendState& a, int64_t split, const Block& block) {
  const int64_t begin = attention_first_key(t.first, t.window) / kAttentionKeys * kAttentionKeys;
  const int64_t end = least(t.first + t.queries, split + kAttentionSplit);
  for (int64_t r = 0; a.partial && r < t.heads * t.queries; r++) {
    a.sums.top[r] = -__builtin_inff();
    a.sums.sum[r] = 0;
    for (int64_t j = 0; j < a.wide; j += kWidth) store(a.sums.o + r * a.wide + j, zero());
  }
  for (int64_t first = split > begin ? split : begin; first < end; first += kAttentionKeys)
    block(first, least(kAttentionKeys, end - first));
}

// All splits that the rows see; the sums come into total.
template <class T, class Block>
void attend_splits(const AttentionRows<T>& t, AttendState& a, const Sums& total, const Sums& spare,
                   const Block& block) {
  const int64_t begin = attention_first_split(t) * kAttentionSplit;
  for (int64_t split = begin; split < t.first + t.queries; split += kAttentionSplit) {
    a.sums = split == begin ? total : spare;
    attend_split(t, a, split, block);
    if (split > begin) join_rows(t, total, spare, split, a.wide);
  }
}

template <class T>
void finish_rows(const AttentionRows<T>& t, const Sums& sums, int64_t wide, int64_t dv) {
  for (int64_t h = 0; h < t.heads; h++)
    for (int64_t i = 0; i < t.queries; i++) {
      const int64_t r = h * t.queries + i;
      unpack_row(t.out + i * t.out_row + h * t.out_head, sums.o + r * wide, dv, 1 / sums.sum[r]);
      if (t.lse) t.lse[i * t.lse_row + h] = sums.top[r] + __builtin_logf(sums.sum[r]);
    }
}

Sums take_sums(Scratch& scratch, int64_t rows, int64_t wide) {
  return {scratch.take(rows * wide), scratch.take(rows), scratch.take(rows)};
}

template <class T>
AttendState pack_queries(const AttentionRows<T>& t, Scratch& scratch, int64_t d, int64_t dv, float scale) {
  AttendState a;
  a.d = d;
  a.wide = whole_vectors(dv);
  a.scale = scale;
  a.partial = t.window < t.first + t.queries || t.selected;
  a.scores = scratch.take(kAttentionFewRows * kAttentionKeys);
  a.q = scratch.take(t.heads * t.queries * d + kWidth);  // a row's zeros fall on the start of the next row
  for (int64_t h = 0; h < t.heads; h++)
    pack_rows(a.q + h * t.queries * d, d, t.q + h * t.q_head, t.q_row, t.queries, d);
  return a;
}

template <class T>
void attend(const AttendTask<T>& t, float* memory) {
  const AttentionSide<T>& side = t.side;
  const int64_t rows = t.rows.heads * t.rows.queries;
  Scratch scratch = {memory};
  AttendState a = pack_queries(t.rows, scratch, side.dk + side.dr, side.dv, side.scale);
  float *keys = scratch.take(a.d * kAttentionKeys), *values = scratch.take(kAttentionKeys * a.wide);
  const Sums total = take_sums(scratch, rows, a.wide), spare = take_sums(scratch, rows, a.wide);
  attend_splits(t.rows, a, total, spare, [&](int64_t first, int64_t count) {
    pack_keys_transposed(keys, side, first, count);
    const T* v = side.v + first * side.v_row;
    if constexpr (sizeof(T) == sizeof(float)) {
      if (a.wide == side.dv)
        return attend_block(t.rows, a, KeyBlock<float>{keys, v, side.v_row, first, count, nullptr});
    }
    pack_rows(values, a.wide, v, side.v_row, count, side.dv);
    attend_block(t.rows, a, KeyBlock<float>{keys, values, a.wide, first, count, nullptr});
  });
  finish_rows(t.rows, total, a.wide, side.dv);
}

// --- over a cache ----------------------------------------------------------------------------------------------------

struct CacheScratch {
  float *keys, *values;       // (d, 64); 64 rows
  float *queries_t, *turned;  // latent, few rows: (d, lanes), (64, lanes)
  int64_t lanes;              // rows in whole vectors
  bool pairs;                 // of bf16, as the machine multiplies them
};

// Latents in bf16 need not be widened where the machine multiplies pairs and the queries are bf16 too.
template <class T>
constexpr bool kLatentPairs =
#ifdef __AVX512BF16__
    sizeof(T) == 2;
#else
    false;
#endif

template <class T>
bool few_rows(const AttentionRows<T>& t) {
  return t.heads * t.queries <= kAttentionFewRows;
}

template <class T, class C>
CacheScratch cache_scratch(const AttendCachedTask<T, C>& t, const AttendState& a, Scratch& scratch) {
  const int64_t rows = t.rows.heads * t.rows.queries;
  CacheScratch s = {};
  s.pairs = kLatentPairs<T> && t.side.latent && a.d % 2 == 0;
  if (s.pairs)
    for (int64_t r = 0; r < rows; r++) narrow_in_place(a.q + r * a.d, a.d);
  s.keys = scratch.take(a.d * kAttentionKeys);
  s.values = scratch.take(kAttentionKeys * (t.side.latent ? whole_vectors(a.d) : a.wide));
  if (t.side.latent && few_rows(t.rows)) {
    s.lanes = whole_vectors(rows);
    s.queries_t = scratch.take(a.d * s.lanes);
    s.turned = scratch.take(kAttentionKeys * s.lanes);
    pack_transposed(s.queries_t, s.lanes, a.q, a.d, rows, s.pairs ? a.d / 2 : a.d);
  }
  return s;
}

// Keys transposed, values in rows: read as they lie, widened in registers, unless many rows would widen them again.
template <class T, class C>
void attend_separate(const AttendCachedTask<T, C>& t, const AttendState& a, const CacheScratch& s, int64_t first,
                     int64_t count) {
  const CacheSide<C>& side = t.side;
  const int64_t at = first / kAttentionKeys, block = side.blocks[at];
  const bool more = first + kAttentionKeys < t.rows.first + t.rows.queries;
  const C *k = side.keys + block * side.key_block, *v = side.values + block * side.value_block;
  const C* next = few_rows(t.rows) ? side.keys + side.blocks[more ? at + 1 : at] * side.key_block : nullptr;
  const bool whole = a.wide <= side.value_row;  // else the last row's last vector would pass the end
  if (whole && (sizeof(C) == sizeof(float) || few_rows(t.rows)))
    return attend_block(t.rows, a, KeyBlock<C>{k, v, side.value_row, first, count, next});
  pack_rows(s.keys, kAttentionKeys, k, kAttentionKeys, a.d, whole_vectors(count));
  pack_rows(s.values, a.wide, v, side.value_row, count, side.dv);
  attend_block(t.rows, a, KeyBlock<float>{s.keys, s.values, a.wide, first, count, nullptr});
}

// Rows that are key and value. Few queries: S^T = K Q^T, which reads keys by rows; its sums are those of Q K^T.
template <class T, class C>
void attend_latent(const AttendCachedTask<T, C>& t, const AttendState& a, const CacheScratch& s, int64_t first,
                   int64_t count) {
  const CacheSide<C>& side = t.side;
  const C* k = side.keys + side.blocks[first / kAttentionKeys] * side.key_block;
  const float* rows = s.values;
  int64_t ld = whole_vectors(side.d);
  if constexpr (sizeof(C) == sizeof(float)) {
    if (a.wide <= side.d) rows = k, ld = side.d;
  }
  if (rows == s.values) pack_rows(s.values, ld, k, side.d, count, side.d);
  if (!s.queries_t) {
    pack_transposed(s.keys, kAttentionKeys, rows, ld, count, side.d);
    return attend_block(t.rows, a, KeyBlock<float>{s.keys, rows, ld, first, count, nullptr});
  }
  multiply<false>(s.turned, s.lanes, rows, ld, s.queries_t, s.lanes, count, s.lanes, side.d, false);
  pack_transposed(a.scores, kAttentionKeys, s.turned, s.lanes, count, t.rows.heads * t.rows.queries);
  attend_block(t.rows, a, KeyBlock<float>{nullptr, rows, ld, first, count, nullptr});
}

// The same in pairs: neighbours along a row for S, neighbouring keys for P V.
template <class T, class C>
void attend_latent_pairs(const AttendCachedTask<T, C>& t, const AttendState& a, const CacheScratch& s, int64_t first,
                         int64_t count) {
  const CacheSide<C>& side = t.side;
  const C* k = side.keys + side.blocks[first / kAttentionKeys] * side.key_block;
  const auto* keys = (const Lane*)k;
  const int64_t half = side.d / 2;
  auto* values = (Pair*)s.values;
  pair_rows((uint32_t*)values, a.wide, k, side.d, count, side.dv, whole_vectors(count), a.wide);
  if (!s.queries_t) {
    pack_transposed(s.keys, kAttentionKeys, (const float*)keys, half, count, half);
    return attend_block(t.rows, a, KeyBlock<Pair>{(const Pair*)s.keys, values, a.wide, first, count, nullptr});
  }
  multiply<false>(s.turned, s.lanes, keys, half, (const Pair*)s.queries_t, s.lanes, count, s.lanes, half, false);
  pack_transposed(a.scores, kAttentionKeys, s.turned, s.lanes, count, t.rows.heads * t.rows.queries);
  attend_block(t.rows, a, KeyBlock<Pair>{nullptr, values, a.wide, first, count, nullptr});
}

template <class T, class C>
void attend_cached(const AttendCachedTask<T, C>& t, float* memory) {
  const int64_t rows = t.rows.heads * t.rows.queries;
  Scratch scratch = {memory};
  AttendState a = pack_queries(t.rows, scratch, t.side.d, t.side.dv, t.side.scale);
  const CacheScratch s = cache_scratch(t, a, scratch);
  const auto block = [&](int64_t first, int64_t count) {
    if constexpr (kLatentPairs<T>)
      if (s.pairs) return attend_latent_pairs(t, a, s, first, count);
    t.side.latent ? attend_latent(t, a, s, first, count) : attend_separate(t, a, s, first, count);
  };
  if (t.part) {
    a.sums = {t.part, t.part + rows * a.wide, t.part + rows * (a.wide + 1)};
    return attend_split(t.rows, a, t.split * kAttentionSplit, block);
  }
  const Sums total = take_sums(scratch, rows, a.wide), spare = take_sums(scratch, rows, a.wide);
  attend_splits(t.rows, a, total, spare, block);
  finish_rows(t.rows, total, a.wide, t.side.dv);
}

template <class T>
void attend_join(const JoinTask<T>& t) {
  const int64_t rows = t.rows.heads * t.rows.queries, wide = whole_vectors(t.dv), last = t.rows.first + t.rows.queries;
  const int64_t begin = attention_first_split(t.rows);
  const auto part = [&](int64_t split) -> Sums {
    float* at = t.parts + (split - begin) * attention_part_floats(rows, t.dv);
    return {at, at + rows * wide, at + rows * (wide + 1)};
  };
  for (int64_t split = begin + 1; split * kAttentionSplit < last; split++)
    join_rows(t.rows, part(begin), part(split), split * kAttentionSplit, wide);
  finish_rows(t.rows, part(begin), wide, t.dv);
}

// --- backward --------------------------------------------------------------------------------------------------------

struct AttendGradState {
  float *dq, *dk, *dv, *delta;          // of the sequence: (length, wide_k) twice, (length, wide_v), (length)
  float *keys_t, *values_t, *keys;      // of a key block: (d, 64), (dv, 64), (64, wide_k)
  float *q, *dout, *p, *ds;             // of a query block: (64, wide_k), (64, wide_v), (64, 64) twice
  int64_t d, dv_width, wide_k, wide_v;  // wide: in whole vectors
  int64_t window;
  const int32_t* selected;  // rows of words, or null
  int64_t selected_row;
};

// P and dS of `rows` queries against `keys` keys; q0 and k0 are the places of the first.
void attend_probabilities(const AttendGradState& a, const float* lse, int64_t lse_row, const float* delta, int64_t q0,
                          int64_t rows, int64_t k0, int64_t keys, float scale) {
  for (int64_t i = 0; i < rows; i += kGroup) {
    const int64_t count = least(kGroup, rows - i), n = whole_vectors(least(keys, q0 - k0 + i + count));
    float *p = a.p + i * kAttentionKeys, *ds = a.ds + i * kAttentionKeys;
    multiply<false>(p, kAttentionKeys, a.q + i * a.wide_k, a.wide_k, a.keys_t, kAttentionKeys, count, n, a.d, false);
    multiply<false>(ds, kAttentionKeys, a.dout + i * a.wide_v, a.wide_v, a.values_t, kAttentionKeys, count, n,
                    a.dv_width, false);
    for (int64_t r = 0; r < count; r++, p += kAttentionKeys, ds += kAttentionKeys) {
      const Vec shift = broadcast(lse[(i + r) * lse_row]), middle = broadcast(delta[i + r]);
      constexpr uint32_t kEach = (1u << kWidth) - 1;
      const int64_t place = q0 + i + r;
      uint64_t seen = seen_keys(place, a.window, a.selected ? a.selected + place * a.selected_row : nullptr, k0);
      for (int64_t j = 0; j < n; j += kWidth, seen >>= kWidth) {
        Vec x = exp(load(p + j) * scale - shift), g = (load(ds + j) - middle) * scale;
        if ((seen & kEach) != kEach) {  // both, for 0 times infinity would be NaN
          x = keep_bits(x, uint32_t(seen), zero());
          g = keep_bits(g, uint32_t(seen), zero());
        }
        store(p + j, x);
        store(ds + j, x * g);
      }
    }
  }
}

template <class T>
void pack_key_block(const AttendGradState& a, const AttentionSide<T>& side, int64_t first, int64_t keys) {
  pack_keys_transposed(a.keys_t, side, first, keys);
  pack_transposed(a.values_t, kAttentionKeys, side.v + first * side.v_row, side.v_row, keys, side.dv);
  for (int64_t i = first; i < first + keys; i++) {
    float* row = a.keys + (i - first) * a.wide_k;
    pack_rows(row, 0, side.k + i * side.k_row, 0, 1, side.dk);
    if (side.dr > 0) pack_rows(row + side.dk, 0, side.k_rope + i * side.k_rope_row, 0, 1, side.dr);
  }
}

// The products of one query block with one key block; q0 and k0 are their first tokens. A key block's sums begin on the
// diagonal, with the first head; a query block's with the first key block that it sees.
void attend_grad_block(const AttendGradState& a, int64_t q0, int64_t rows, int64_t k0, int64_t keys, bool first_head) {
  const bool add = !(first_head && q0 == k0), add_to_queries = k0 > attention_first_key(q0, a.window);
  for (int64_t j = 0; j < keys; j += kGroup) {
    const int64_t from = q0 == k0 ? j : 0;  // on the diagonal, queries before j do not see these keys
    const int64_t count = least(kGroup, keys - j), at = from * kAttentionKeys + j;
    multiply<true>(a.dv + (k0 + j) * a.wide_v, a.wide_v, a.p + at, kAttentionKeys, a.dout + from * a.wide_v, a.wide_v,
                   count, a.wide_v, rows - from, add);
    multiply<true>(a.dk + (k0 + j) * a.wide_k, a.wide_k, a.ds + at, kAttentionKeys, a.q + from * a.wide_k, a.wide_k,
                   count, a.wide_k, rows - from, add);
  }
  for (int64_t i = 0; i < rows; i += kGroup) {
    const int64_t count = least(kGroup, rows - i), seen = least(keys, q0 - k0 + i + count);
    multiply<false>(a.dq + (q0 + i) * a.wide_k, a.wide_k, a.ds + i * kAttentionKeys, kAttentionKeys, a.keys, a.wide_k,
                    count, a.wide_k, seen, add_to_queries);
  }
}

template <class T>
void attend_grad_head(const AttendGradTask<T>& t, const AttendGradState& a, int64_t h) {
  const T *q = t.q + h * t.q_head, *dout = t.dout + h * t.dout_head, *out = t.out + h * t.out_head;
  for (int64_t i = 0; i < t.length; i++) a.delta[i] = dot(dout + i * t.dout_row, out + i * t.out_row, t.side.dv);
  for (int64_t k0 = 0; k0 < t.length; k0 += kAttentionKeys) {
    const int64_t keys = least(kAttentionKeys, t.length - k0);
    pack_key_block(a, t.side, k0, keys);
    for (int64_t q0 = k0; q0 < t.length && attention_first_key(q0, a.window) < k0 + keys; q0 += kAttentionKeys) {
      const int64_t rows = least(kAttentionKeys, t.length - q0);
      pack_rows(a.q, a.wide_k, q + q0 * t.q_row, t.q_row, rows, a.d);
      pack_rows(a.dout, a.wide_v, dout + q0 * t.dout_row, t.dout_row, rows, t.side.dv);
      attend_probabilities(a, t.lse + h + q0 * t.lse_row, t.lse_row, a.delta + q0, q0, rows, k0, keys, t.side.scale);
      attend_grad_block(a, q0, rows, k0, keys, h == 0);
    }
  }
  for (int64_t i = 0; i < t.length; i++) unpack_row(t.dq + i * t.dq_row + h * t.dq_head, a.dq + i * a.wide_k, a.d, 1);
}

template <class T>
void attend_grad(const AttendGradTask<T>& t, float* memory) {
  const AttentionSide<T>& side = t.side;
  Scratch scratch = {memory};
  AttendGradState a;
  a.d = side.dk + side.dr;
  a.dv_width = side.dv;
  a.window = t.window;
  a.selected = t.selected;
  a.selected_row = t.selected_row;
  a.wide_k = whole_vectors(a.d);
  a.wide_v = whole_vectors(side.dv);
  a.keys_t = scratch.take(a.d * kAttentionKeys);
  a.values_t = scratch.take(side.dv * kAttentionKeys);
  a.keys = scratch.take(kAttentionKeys * a.wide_k + kWidth);  // the zeros after a row's k_rope may pass its end
  a.q = scratch.take(kAttentionKeys * a.wide_k);
  a.dout = scratch.take(kAttentionKeys * a.wide_v);
  a.p = scratch.take(kAttentionKeys * kAttentionKeys);
  a.ds = scratch.take(kAttentionKeys * kAttentionKeys);
  a.delta = scratch.take(t.length);
  a.dq = scratch.take(t.length * a.wide_k);
  a.dk = scratch.take(t.length * a.wide_k);
  a.dv = scratch.take(t.length * a.wide_v);
  for (int64_t i = 0; i < kAttentionKeys * a.wide_k; i += kWidth) store(a.keys + i, zero());
  for (int64_t h = 0; h < t.heads; h++) attend_grad_head(t, a, h);
  for (int64_t i = 0; i < t.length; i++) {
    unpack_row(t.dk + i * t.dk_row, a.dk + i * a.wide_k, side.dk, 1);
    unpack_row(t.dv + i * t.dv_row, a.dv + i * a.wide_v, side.dv, 1);
    if (side.dr > 0) unpack_row(t.dk_rope + i * side.dr, a.dk + i * a.wide_k + side.dk, side.dr, 1);
  }
}

constexpr AttentionKernels kAttentionKernels = {
    .f32 = {attend<float>, attend_cached<float, float>, attend_cached<float, uint16_t>, attend_join<float>,
            attend_grad<float>, index_scores<float>},
    .bf16 = {attend<uint16_t>, attend_cached<uint16_t, uint16_t>, attend_cached<uint16_t, uint16_t>,
             attend_join<uint16_t>, attend_grad<uint16_t>, index_scores<uint16_t>},
};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
