// The paged cache: storing into blocks, and attention over them. Splits the work into tasks for the kernels.
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/places.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/scratch.h"

namespace tenth {
namespace {

using namespace cpu;

static_assert(kCacheBlock == kAttentionKeys);

constexpr int64_t kTaskRows = 128;    // queries times heads that share one reading of the keys
constexpr int64_t kSerialWork = 1e5;  // multiply-adds below which one thread is enough: they come from memory

int64_t blocks_of(const LayerCache& cache) { return (cache.latent ? cache.latent : cache.keys).dim(0); }

// Calls body(T(), C()) with the types of the activations and of the cache, as with_type has them.
template <class Body>
void with_types(const char* op, const Tensor& x, const LayerCache& cache, const Body& body) {
  with_type(x, op, [&]<class T>(T) {
    with_type(cache.latent ? cache.latent : cache.keys, op, [&]<class C>(C) {
      if constexpr (sizeof(C) <= sizeof(T)) {
        body(T(), C());
      } else {
        fail(ErrorKind::kInternal, "[{}] activations of bf16 with a cache of f32", op);
      }
    });
  });
}

template <class C, class T>
C stored(T x) {
  if constexpr (sizeof(C) < sizeof(T)) {
    return bf16(x).bits;
  } else {
    return x;
  }
}

// to (columns, 64) from x (rows, columns), its rows x_row apart, transposed.
template <class C, class T>
void store_transposed(C* to, const T* x, int64_t x_row, int64_t rows, int64_t columns) {
  for (int64_t d = 0; d < columns; d++)
    for (int64_t i = 0; i < rows; i++) to[d * kCacheBlock + i] = stored<C>(x[i * x_row + d]);
}

template <class C, class T>
void store_rows(C* to, int64_t to_row, const T* x, int64_t x_row, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t d = 0; d < columns; d++) to[i * to_row + d] = stored<C>(x[i * x_row + d]);
}

// One key head of a run within one block.
template <class T, class C>
void store_run(const LayerCache& cache, const Tensor& k, const Tensor& k_rope, const Tensor& v, const Run& run,
               int64_t head) {
  const int64_t block = run.blocks[run.first / kCacheBlock], offset = run.first % kCacheBlock, dk = k.dim(2);
  const T* from = data_of<T>(k) + run.token * k.stride(0) + head * k.stride(1);
  const T* rope = k_rope ? data_of<T>(k_rope) + run.token * k_rope.stride(0) : nullptr;
  if (cache.latent) {
    const int64_t width = cache.latent.dim(2);
    C* to = data_of<C>(cache.latent) + (block * kCacheBlock + offset) * width;
    store_rows(to, width, from, k.stride(0), run.count, dk);
    if (rope) store_rows(to + dk, width, rope, k_rope.stride(0), run.count, k_rope.dim(1));
    return;
  }
  C* to = data_of<C>(cache.keys) + block * cache.keys.stride(0) + head * cache.keys.stride(1) + offset;
  store_transposed(to, from, k.stride(0), run.count, dk);
  if (rope) store_transposed(to + dk * kCacheBlock, rope, k_rope.stride(0), run.count, k_rope.dim(1));
  if (!v) return;
  const int64_t dv = v.dim(2);
  store_rows(data_of<C>(cache.values) + block * cache.values.stride(0) + head * cache.values.stride(1) + offset * dv,
             dv, data_of<T>(v) + run.token * v.stride(0) + head * v.stride(1), v.stride(0), run.count, dv);
}

struct Item {
  Run run;
  int64_t head, head_begin, heads;  // of the keys; of the queries that share it
  int64_t window;                   // of keys
  int64_t split = -1;               // of the keys; -1: all
  int64_t parts = 0;                // where those of all splits begin
};

int64_t first_split(const Item& item) { return attention_first_key(item.run.first, item.window) / kAttentionSplit; }

int64_t splits_of(const Item& item) {
  return (item.run.first + item.run.count + kAttentionSplit - 1) / kAttentionSplit - first_split(item);
}

// Divides few items among the threads: the keys, and the heads where that is not enough. No division changes a result,
// so it may depend on the number of threads. Returns how many floats the parts take.
int64_t divide(std::vector<Item>& items, std::vector<Item>& joins, int64_t dv) {
  thread_local std::vector<Item> whole;
  whole.swap(items);
  items.clear();
  int64_t splits = 0, floats = 0;
  for (const Item& item : whole) splits += splits_of(item);
  for (Item item : whole) {
    const int64_t heads = item.heads, pieces = std::max<int64_t>(1, 2 * thread_count() / splits);
    const int64_t together = std::max<int64_t>(8, (heads + pieces - 1) / pieces);
    for (item.head_begin = 0; item.head_begin < heads; item.head_begin += together) {
      item.heads = std::min(together, heads - item.head_begin);
      if (splits_of(item) == 1) {
        items.push_back(item);
        continue;
      }
      item.parts = floats;
      joins.push_back(item);
      floats += splits_of(item) * attention_part_floats(item.heads * item.run.count, dv);
      for (int64_t split = 0; split < splits_of(item); split++) {
        items.push_back(item);
        items.back().split = first_split(item) + split;
      }
    }
  }
  return floats;
}

template <class T>
AttentionRows<T> rows_of(const Item& item, const Tensor& out, const Tensor& q, int64_t sharing, const Sight& sight) {
  const int64_t head = item.head * sharing + item.head_begin;
  return {.q = data_of<T>(q) + item.run.token * q.stride(0) + head * q.stride(1),
          .out = data_of<T>(out) + item.run.token * out.stride(0) + head * out.stride(1),
          .lse = nullptr,
          .q_row = q.stride(0),
          .q_head = q.stride(1),
          .out_row = out.stride(0),
          .out_head = out.stride(1),
          .lse_row = 0,
          .first = item.run.first,
          .queries = item.run.count,
          .heads = item.heads,
          .window = item.window,
          .selected = selected_of(sight.selected, item.run.token),
          .selected_row = selected_row(sight.selected)};
}

template <class C>
CacheSide<C> side_of(const Item& item, const LayerCache& cache, int64_t dv, double scale) {
  CacheSide<C> side = {};
  side.blocks = item.run.blocks;
  side.dv = dv;
  side.scale = float(scale);
  if (cache.latent) {
    side.keys = side.values = data_of<C>(cache.latent);
    side.key_block = side.value_block = cache.latent.stride(0);
    side.d = side.value_row = cache.latent.dim(2);
    side.latent = true;
    return side;
  }
  side.keys = data_of<C>(cache.keys) + item.head * cache.keys.stride(1);
  side.values = data_of<C>(cache.values) + item.head * cache.values.stride(1);
  side.key_block = cache.keys.stride(0);
  side.value_block = cache.values.stride(0);
  side.value_row = dv;
  side.d = cache.keys.dim(2);
  return side;
}

template <class T, class C>
int64_t attend_floats(const AttendCachedTask<T, C>& t) {
  const int64_t d = (t.side.d + 15) / 16 * 16, dv = (t.side.dv + 15) / 16 * 16;
  const int64_t rows = (t.rows.queries * t.rows.heads + 15) / 16 * 16;
  return kAttentionKeys * (d + std::max(d, dv) + 2 * kAttentionFewRows) + d * kAttentionFewRows +
         rows * (d + 2 * dv + 4) + 256;
}

template <class Body>
void run_items(int64_t count, int64_t work, const Body& body) {
  if (work < kSerialWork) {
    for (int64_t i = 0; i < count; i++) body(i);
  } else {
    parallel_each(count, body);
  }
}

}  // namespace

void CpuBackend::cache_store(const LayerCache& cache, const Tensor& k, const Tensor& k_rope, const Tensor& v,
                             const CachePlaces& places) {
  thread_local std::vector<Run> runs;
  runs.clear();
  const int64_t heads = k.dim(1), width = k.dim(2) + (v ? v.dim(2) : 0);
  Places("cache_store", places, blocks_of(cache)).each_run(k.dim(0), kCacheBlock, kCacheBlock, [&](const Run& run) {
    runs.push_back(run);
  });
  with_types("cache_store", k, cache, [&]<class T, class C>(T, C) {
    const std::vector<Run>& all = runs;  // this thread's
    const int64_t grain = row_grain(width * k.dim(0) / std::max<int64_t>(1, int64_t(all.size())), 4);
    parallel_for(int64_t(all.size()) * heads, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) store_run<T, C>(cache, k, k_rope, v, all[size_t(i / heads)], i % heads);
    });
  });
}

// Tokens that follow each other (a prompt's next part, drafts) share one reading of their keys.
void CpuBackend::cached_attention(const Tensor& out, const Tensor& q, const LayerCache& cache,
                                  const CachePlaces& places, double scale, const Sight& sight) {
  const int64_t key_heads = cache.latent ? 1 : cache.keys.dim(1), sharing = q.dim(1) / key_heads, dv = out.dim(2);
  thread_local std::vector<Item> kept_items, kept_joins;  // so that decoding asks for no memory
  std::vector<Item>&items = kept_items, &joins = kept_joins;
  items.clear();
  joins.clear();
  const int64_t window = attention_window(sight.window);
  int64_t work = 0, floats = 0;
  Places("cached_attention", places, blocks_of(cache))
      .each_run(q.dim(0), std::max<int64_t>(1, kTaskRows / sharing), INT64_MAX, [&](const Run& run) {
        for (int64_t g = 0; g < key_heads; g++) items.push_back({run, g, 0, sharing, window});
        work += run.count * std::min(run.first + 1, window) * q.dim(1) * (q.dim(2) + dv);
      });
  const int64_t threads = thread_count();
  if (threads > 1 && work >= kSerialWork && int64_t(items.size()) < 4 * threads) floats = divide(items, joins, dv);
  const Tensor memory = floats > 0 ? Tensor::make(*this, DType::kF32, {floats}) : Tensor();
  float* parts = data_of<float>(memory);
  with_types("cached_attention", q, cache, [&]<class T, class C>(T, C) {
    const AttentionKernelsOf<T>& kernels = pick<T>(*cpu::kernels().attention);
    run_items(int64_t(items.size()), work, [&](int64_t i) {
      const Item& item = items[size_t(i)];
      const AttentionRows<T> rows = rows_of<T>(item, out, q, sharing, sight);
      const int64_t part = attention_part_floats(rows.heads * rows.queries, dv);
      const AttendCachedTask<T, C> task = {
          .side = side_of<C>(item, cache, dv, scale),
          .rows = rows,
          .part = item.split < 0 ? nullptr : parts + item.parts + (item.split - first_split(item)) * part,
          .split = item.split};
      if constexpr (sizeof(T) == sizeof(C))
        kernels.attend_cached(task, scratch(attend_floats(task)));
      else
        kernels.attend_cached_bf16(task, scratch(attend_floats(task)));
    });
    for (const Item& item : joins)
      kernels.attend_join({rows_of<T>(item, out, q, sharing, sight), dv, parts + item.parts});
  });
}

}  // namespace tenth
