// Sparse attention's indexer: the norm of its keys, its scores and the choice of the best.
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/places.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/scratch.h"

namespace tenth {
namespace {

using namespace cpu;

static_assert(kCacheBlock == kAttentionKeys);

constexpr int64_t kTaskQueries = 8;  // that share one reading of the keys

struct Item {
  int64_t token, count;   // queries, in the batch
  int64_t first;          // place of the first
  int64_t keys;           // first token of the sequence, or
  const int32_t* blocks;  // those of its table
};

// Numbers in the order of the scores; those that are not numbers stand above all.
uint32_t ordered(float score) {
  if (score == 0) score = 0;  // -0 is 0
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof bits);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

void set_bit(int32_t* words, int64_t place) {
  words[place / 32] = int32_t(uint32_t(words[place / 32]) | 1u << (place % 32));
}

// The `top` best of count, the lowest place first where scores are equal. spare: 2 count numbers.
void select_best(int32_t* words, const float* scores, int64_t count, int64_t top, uint32_t* spare) {
  uint32_t *keys = spare, *sorted = spare + count;
  for (int64_t s = 0; s < count; s++) keys[s] = sorted[s] = ordered(scores[s]);
  std::nth_element(sorted, sorted + top - 1, sorted + count, std::greater<>());
  const uint32_t least = sorted[top - 1];
  int64_t equal = top;  // so many of those that are as good as the last one
  for (int64_t s = 0; s < count; s++) equal -= keys[s] > least;
  for (int64_t s = 0; s < count; s++)
    if (keys[s] > least || (keys[s] == least && equal-- > 0)) set_bit(words, s);
}

// In this thread's list, so that decoding asks for no memory.
const std::vector<Item>& items_of(const IndexArgs& args) {
  thread_local std::vector<Item> kept;
  std::vector<Item>& items = kept;
  items.clear();
  const int64_t tokens = args.q.dim(0);
  if (args.keys) {
    Places("select_keys", args.places, args.keys.dim(0)).each_run(tokens, kTaskQueries, INT64_MAX, [&](const Run& run) {
      items.push_back({run.token, run.count, run.first, 0, run.blocks});
    });
    return items;
  }
  const int32_t* segments = args.segments.data<int32_t>();
  for (int64_t s = 0; s + 1 < args.segments.dim(0); s++)
    for (int64_t n = segments[s]; n < segments[s + 1]; n += kTaskQueries)
      items.push_back({n, std::min<int64_t>(kTaskQueries, segments[s + 1] - n), n - segments[s], segments[s], nullptr});
  return items;
}

template <class T>
void select_item(const Tensor& selected, const IndexArgs& args, const Item& item) {
  const int64_t last = item.first + item.count, row = (last + kAttentionKeys - 1) / kAttentionKeys * kAttentionKeys;
  float* scores = nullptr;
  uint32_t* spare = nullptr;
  if (last > args.top) {
    IndexTask<T> task = {.q = data_of<T>(args.q) + item.token * args.q.stride(0),
                         .weights = data_of<float>(args.weights) + item.token * args.weights.stride(0),
                         .keys = args.keys ? data_of<T>(args.keys) : data_of<T>(args.k) + item.keys * args.k.stride(0),
                         .blocks = item.blocks,
                         .scores = nullptr,
                         .q_row = args.q.stride(0),
                         .q_head = args.q.stride(1),
                         .weights_row = args.weights.stride(0),
                         .key_row = args.keys ? 0 : args.k.stride(0),
                         .key_block = args.keys ? args.keys.stride(0) : 0,
                         .scores_row = row,
                         .first = item.first,
                         .queries = item.count,
                         .heads = args.q.dim(1),
                         .d = args.q.dim(2)};
    scores = task.scores = scratch(item.count * row + 2 * row + index_floats(task));
    spare = reinterpret_cast<uint32_t*>(scores + item.count * row);
    pick<T>(*kernels().attention).index_scores(task, scores + (item.count + 2) * row);
  }
  for (int64_t i = 0; i < item.count; i++) {
    int32_t* words = selected.data<int32_t>() + (item.token + i) * selected.stride(0);
    std::fill_n(words, selected.dim(1), 0);
    const int64_t count = item.first + i + 1;
    if (count > args.top) {
      select_best(words, scores + i * row, count, args.top, spare);
    } else {
      for (int64_t s = 0; s < count; s++) set_bit(words, s);
    }
  }
}

}  // namespace

void CpuBackend::layer_norm(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& b, double eps) {
  const int64_t width = x.dim(1);
  const float *gain = data_of<float>(w), *shift = data_of<float>(b);
  parallel_for(x.dim(0), row_grain(width, 4), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      const float* from = data_of<float>(x) + n * x.stride(0);
      float* to = data_of<float>(y) + n * y.stride(0);
      double mean = 0, squares = 0;
      for (int64_t j = 0; j < width; j++) mean += double(from[j]);
      mean /= double(width);
      for (int64_t j = 0; j < width; j++) squares += (double(from[j]) - mean) * (double(from[j]) - mean);
      const double r = 1 / std::sqrt(squares / double(width) + eps);
      for (int64_t j = 0; j < width; j++)
        to[j] = float((double(from[j]) - mean) * r * double(gain[j]) + double(shift[j]));
    }
  });
}

void CpuBackend::select_keys(const Tensor& selected, const IndexArgs& args) {
  const std::vector<Item>& items = items_of(args);
  with_type(args.q, "select_keys", [&]<class T>(T) {
    parallel_each(int64_t(items.size()), [&](int64_t i) { select_item<T>(selected, args, items[size_t(i)]); });
  });
}

}  // namespace tenth
