// Every operation of the CPU backend but the matrix products, in f32 and bf16, at the demo's shapes and at 2048 tokens
// of width 256. Streaming operations are set beside a copy of as many bytes in the same run (of_copy: 1 = as fast),
// attention beside the multiply-add peak of the instruction set (of_peak).
//   rows_bench --benchmark_filter=attention --benchmark_format=csv
#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <string>

#include "backend/backend.h"
#include "backend/cpu/peak.h"
#include "base/rng.h"
#include "base/threads.h"
#include "bench_main.h"

namespace tenth {
namespace {

Backend& host() { return get_backend("cpu"); }

Tensor random_tensor(DType dtype, Shape shape) {
  Rng rng(1);
  std::vector<float> values(size_t(shape.count()));
  for (size_t i = 0; i < values.size(); i++) values[i] = i < 4096 ? float(rng.normal()) : values[i - 4095];
  Tensor f = Tensor::from_host<float>(host(), std::span<const float>(values), shape);
  if (dtype == DType::kF32) return f;
  Tensor t = Tensor::make(host(), dtype, shape);
  host().copy(t, f);
  return t;
}

Tensor ints(int64_t n, const std::function<int64_t(int64_t)>& value, Shape shape) {
  std::vector<int32_t> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) values[size_t(i)] = int32_t(value(i));
  return Tensor::from_host<int32_t>(host(), std::span<const int32_t>(values), shape);
}
Tensor ints(int64_t n, const std::function<int64_t(int64_t)>& value) { return ints(n, value, {n}); }

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Reads and writes `bytes` in all, on as many threads as the operations.
double copy_seconds(int64_t bytes) {
  const Tensor x = random_tensor(DType::kF32, {std::max<int64_t>(1, bytes / 8)}),
               y = random_tensor(DType::kF32, x.shape());
  double best = 1e9;
  for (int i = 0; i < 20; i++) best = std::min(best, seconds_of([&] { host().copy(y, x); }));
  return best;
}

using Run = std::function<void()>;

void streaming(benchmark::State& state, int64_t bytes, const Run& run) {
  run();
  for (auto _ : state) run();
  state.counters["GB/s"] = benchmark::Counter(double(bytes) * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_copy"] = benchmark::Counter(copy_seconds(bytes), benchmark::Counter::kIsIterationInvariantRate);
}

void arithmetic(benchmark::State& state, double multiply_adds, const Run& run) {
  run();
  for (auto _ : state) run();
  const double gflop = 2e-9 * multiply_adds;
  state.counters["GFLOP/s"] = benchmark::Counter(gflop, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_peak"] =
      benchmark::Counter(gflop / measured_peak_gflops(DType::kF32), benchmark::Counter::kIsIterationInvariantRate);
}

// --- row-wise --------------------------------------------------------------------------------------------------------

void norm_benches(benchmark::State& state, const std::string& op, DType t, int64_t n, int64_t d) {
  const Tensor x = random_tensor(t, {n, d}), y = random_tensor(t, {n, d}), z = random_tensor(t, {n, d});
  const Tensor w = random_tensor(DType::kF32, {d}), rstd = random_tensor(DType::kF32, {n});
  const int64_t bytes = int64_t(x.bytes());
  if (op == "rms_norm_forward") streaming(state, 2 * bytes, [&] { host().rms_norm_forward(y, rstd, x, w, 1e-6); });
  if (op == "rms_norm_backward") streaming(state, 4 * bytes, [&] { host().rms_norm_backward(y, w, x, z, z, rstd, w); });
  if (op == "add") streaming(state, 3 * bytes, [&] { host().add(y, x, z); });
  if (op == "copy_to_f32") {
    const Tensor f = random_tensor(DType::kF32, {n, d});
    streaming(state, bytes + int64_t(f.bytes()), [&] { host().copy(f, x); });
  }
  if (op == "scale") streaming(state, 2 * bytes, [&] { host().scale(y, x, 1.5); });
  if (op == "fill") streaming(state, bytes, [&] { host().fill(y, 1.5); });
  if (op == "sum_of_squares") streaming(state, bytes, [&] { benchmark::DoNotOptimize(host().sum_of_squares(x)); });
  if (op == "swiglu_forward" || op == "swiglu_backward") {
    const Tensor gate_up = random_tensor(t, {n, 2 * d}), grad = random_tensor(t, {n, 2 * d});
    if (op == "swiglu_forward") {
      streaming(state, 3 * bytes, [&] { host().swiglu_forward(y, gate_up); });
    } else {
      streaming(state, 5 * bytes, [&] { host().swiglu_backward(grad, x, gate_up); });
    }
  }
  if (op == "rope") {  // heads of 48 dimensions, 16 of them rotated, as far as they fit in d
    const int64_t heads = std::max<int64_t>(1, d / 48);
    const Tensor q = random_tensor(t, {n, heads, 48}), table = random_tensor(DType::kF32, {128, 2, 8});
    const Tensor positions = ints(n, [](int64_t i) { return i % 128; });
    streaming(state, 2 * int64_t(q.bytes()) / 3,
              [&] { host().rope(q, q, positions, table, 32, RopeStyle::kAdjacent, false); });
  }
}

void embedding_benches(benchmark::State& state, const std::string& op, DType t, int64_t n, int64_t d) {
  const Tensor w = random_tensor(t, {128, d}), y = random_tensor(t, {n, d}), dw = random_tensor(DType::kF32, {128, d});
  const Tensor ids = ints(n, [](int64_t i) { return i * 37 % 128; });
  const int64_t bytes = int64_t(y.bytes());
  if (op == "embedding_forward") streaming(state, 2 * bytes, [&] { host().embedding_forward(y, ids, w); });
  if (op == "embedding_backward") streaming(state, bytes, [&] { host().embedding_backward(dw, y, ids); });
}

void optimizer_benches(benchmark::State& state, const std::string& op, int64_t count) {
  const Tensor p = random_tensor(DType::kF32, {count}), g = random_tensor(DType::kF32, {count});
  const Tensor m = random_tensor(DType::kF32, {count}), v = random_tensor(DType::kF32, {count});
  host().fill(v, 1);
  const int64_t bytes = int64_t(p.bytes());
  if (op == "adamw_step") streaming(state, 7 * bytes, [&] { host().adamw_step(p, m, v, g, {.lr = 1e-3}); });
  if (op == "axpby") streaming(state, 3 * bytes, [&] { host().axpby(p, 0.1, g, 0.9); });
}

void loss_benches(benchmark::State& state, const std::string& op, int64_t n, int64_t vocabulary) {
  const Tensor logits = random_tensor(DType::kF32, {n, vocabulary});
  const Tensor lp = random_tensor(DType::kF32, {n}), lse = random_tensor(DType::kF32, {n});
  const Tensor entropy = random_tensor(DType::kF32, {n});
  const Tensor targets = ints(n, [&](int64_t i) { return i % vocabulary; });
  const int64_t bytes = int64_t(logits.bytes());
  if (op == "logprobs_forward") streaming(state, bytes, [&] { host().logprobs_forward(lp, lse, {}, logits, targets); });
  if (op == "logprobs_entropy")
    streaming(state, bytes, [&] { host().logprobs_forward(lp, lse, entropy, logits, targets); });
  host().fill(lp, -1);
  host().fill(lse, 10);
  if (op == "logprobs_backward")
    streaming(state, 2 * bytes, [&] { host().logprobs_backward(logits, lp, lse, targets, Tensor(), 0); });
}

// --- mixture of experts ----------------------------------------------------------------------------------------------

void moe_benches(benchmark::State& state, const std::string& op, DType t, int64_t n, int64_t d, int64_t experts,
                 int k) {
  const GateArgs args = {.experts_per_token = k};
  const Tensor logits = random_tensor(DType::kF32, {n, experts}), scores = random_tensor(DType::kF32, {n, experts});
  const Tensor bias = random_tensor(DType::kF32, {experts}), weights = random_tensor(DType::kF32, {n, k});
  const auto none = [](int64_t) { return 0; };
  const Tensor chosen = ints(n * k, none, {n, k}), row_of = ints(n * k, none, {n, k});
  const Tensor token_of = ints(n * k, none), offsets = ints(experts + 1, none);
  const Tensor segments = ints(n / 64 + 1, [](int64_t i) { return 64 * i; }), loss = random_tensor(DType::kF32, {1});
  const Tensor x = random_tensor(t, {n, d}), rows = random_tensor(t, {n * k, d}), drows = random_tensor(t, {n * k, d});
  const Tensor dweights = random_tensor(DType::kF32, {n, k}), dlogits = random_tensor(DType::kF32, {n, experts});
  const auto gate = [&] { host().gate_forward(weights, chosen, scores, logits, bias, false, args); };
  const auto sort = [&] { host().sort_by_expert(row_of, token_of, offsets, chosen); };
  gate();
  sort();
  const int64_t score_bytes = int64_t(logits.bytes()), row_bytes = int64_t(rows.bytes()), x_bytes = int64_t(x.bytes());
  if (op == "gate_forward") streaming(state, 2 * score_bytes, gate);
  if (op == "gate_backward")
    streaming(state, 2 * score_bytes, [&] { host().gate_backward(dlogits, dweights, weights, chosen, scores, args); });
  if (op == "balance_loss_forward")
    streaming(state, score_bytes, [&] { host().balance_loss_forward(loss, scores, chosen, segments); });
  if (op == "balance_loss_backward")
    streaming(state, 2 * score_bytes,
              [&] { host().balance_loss_backward(dlogits, loss, scores, chosen, segments, args.score); });
  if (op == "sort_by_expert") streaming(state, 3 * int64_t(chosen.bytes()), sort);
  if (op == "gather_rows") streaming(state, 2 * row_bytes, [&] { host().gather_rows(rows, x, token_of); });
  if (op == "combine_forward")
    streaming(state, row_bytes + x_bytes, [&] { host().combine_forward(x, rows, weights, row_of); });
  if (op == "combine_backward")
    streaming(state, 2 * row_bytes + x_bytes,
              [&] { host().combine_backward(drows, dweights, x, rows, weights, row_of); });
}

// --- attention -------------------------------------------------------------------------------------------------------

struct AttentionShape {
  const char* name;
  int64_t sequences, length, heads, key_heads, dk, dr, dv;
};

void attention_benches(benchmark::State& state, bool backward, DType t, const AttentionShape& s) {
  const int64_t n = s.sequences * s.length;
  AttentionArgs args = {.q = random_tensor(t, {n, s.heads, s.dk + s.dr}),
                        .k = random_tensor(t, {n, s.key_heads, s.dk}),
                        .k_rope = s.dr > 0 ? random_tensor(t, {n, s.dr}) : Tensor(),
                        .v = random_tensor(t, {n, s.key_heads, s.dv}),
                        .segments = ints(s.sequences + 1, [&](int64_t i) { return i * s.length; }),
                        .scale = 1 / std::sqrt(double(s.dk + s.dr))};
  const Tensor out = random_tensor(t, {n, s.heads, s.dv}), lse = random_tensor(DType::kF32, {n, s.heads});
  const double pairs = double(s.sequences * s.heads) * double(s.length) * double(s.length + 1) / 2;
  const double width_k = double(s.dk + s.dr), width_v = double(s.dv);
  host().attention_forward(out, lse, args);
  if (!backward) {
    arithmetic(state, pairs * (width_k + width_v), [&] { host().attention_forward(out, lse, args); });
    return;
  }
  const Tensor dq = random_tensor(t, args.q.shape()), dk = random_tensor(t, args.k.shape());
  const Tensor dv = random_tensor(t, args.v.shape()), dout = random_tensor(t, out.shape());
  const Tensor dk_rope = s.dr > 0 ? random_tensor(t, args.k_rope.shape()) : Tensor();
  arithmetic(state, pairs * (3 * width_k + 2 * width_v),
             [&] { host().attention_backward(dq, dk, dk_rope, dv, dout, out, lse, args); });
}

struct CacheShape {
  const char* name;
  int64_t sequences, position, heads, key_heads, d, dv;
};

// Latent rows where there is one key head, else keys and values; each sequence in blocks of its own.
void cached_benches(benchmark::State& state, DType t, const CacheShape& s) {
  const int64_t width = s.position / kCacheBlock + 1, blocks = s.sequences * width;
  const Tensor q = random_tensor(t, {s.sequences, s.heads, s.d}), out = random_tensor(t, {s.sequences, s.heads, s.dv});
  LayerCache cache;
  if (s.key_heads == 1) {
    cache.latent = random_tensor(t, {blocks, kCacheBlock, s.d});
  } else {
    cache.keys = random_tensor(t, {blocks, s.key_heads, s.d, kCacheBlock});
    cache.values = random_tensor(t, {blocks, s.key_heads, kCacheBlock, s.dv});
  }
  const CachePlaces places = {.sequences = ints(s.sequences, [](int64_t i) { return i; }),
                              .positions = ints(s.sequences, [&](int64_t) { return s.position; }),
                              .tables = ints(blocks, [](int64_t i) { return i; }, {s.sequences, width})};
  const int64_t wide = s.key_heads == 1 ? s.d : s.key_heads * (s.d + s.dv);
  const int64_t bytes = s.sequences * (s.position + 1) * wide * int64_t(size_of(t));
  arithmetic(state, double(s.sequences * s.heads * (s.position + 1)) * double(s.d + s.dv),
             [&] { host().cached_attention(out, q, cache, places, 0.2); });
  state.counters["GB/s"] = benchmark::Counter(double(bytes) * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

// --- the list --------------------------------------------------------------------------------------------------------

template <class Bench>
void add(const std::string& name, const Bench& bench) {
  benchmark::RegisterBenchmark(name.c_str(), bench)->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.1);
}

void register_rows(DType t) {
  const std::string type = "/" + std::string(name_of(t)) + "/";
  for (int64_t d : {128, 256}) {
    const int64_t n = 2048;
    const std::string shape = type + std::to_string(n) + "x" + std::to_string(d);
    for (const char* op : {"rms_norm_forward", "rms_norm_backward", "rope", "swiglu_forward", "swiglu_backward", "add",
                           "scale", "copy_to_f32", "fill", "sum_of_squares"})
      add(op + shape, [=](benchmark::State& state) { norm_benches(state, op, t, n, d); });
    for (const char* op : {"embedding_forward", "embedding_backward"})
      add(op + shape, [=](benchmark::State& state) { embedding_benches(state, op, t, n, d); });
    for (const char* op : {"gather_rows", "combine_forward", "combine_backward"})
      add(op + shape, [=](benchmark::State& state) { moe_benches(state, op, t, n, d, 16, 2); });
  }
}

void register_attention(DType t) {
  const std::string type = "/" + std::string(name_of(t)) + "/";
  static const AttentionShape kShapes[] = {
      {"demo_50x40", 50, 40, 4, 4, 32, 16, 32},    {"demo_32x100", 32, 100, 8, 8, 32, 16, 32},
      {"gqa_4x512", 4, 512, 8, 2, 64, 0, 64},      {"mla_1x2048", 1, 2048, 8, 8, 128, 64, 128},
      {"mla_1x4096", 1, 4096, 4, 4, 128, 64, 128},
  };
  static const CacheShape kCaches[] = {
      {"demo_256x40", 256, 39, 4, 1, 80, 64},    {"demo_256x100", 256, 99, 8, 1, 80, 64},
      {"gqa_64x512", 64, 511, 8, 2, 64, 64},     {"gqa_1x2048", 1, 2047, 9, 3, 64, 64},
      {"mla_8x2048", 8, 2047, 16, 1, 576, 512},  {"mla_1x2048", 1, 2047, 16, 1, 576, 512},
      {"one_1x4096", 1, 4095, 128, 1, 576, 512},
  };
  for (const AttentionShape& s : kShapes)
    for (bool backward : {false, true})
      add((backward ? "attention_backward" : "attention_forward") + type + s.name,
          [=](benchmark::State& state) { attention_benches(state, backward, t, s); });
  for (const CacheShape& s : kCaches)
    add("cached_attention" + type + s.name, [=](benchmark::State& state) { cached_benches(state, t, s); });
}

void register_all() {
  for (DType t : {DType::kF32, DType::kBF16}) {
    register_rows(t);
    register_attention(t);
  }
  for (const char* op :
       {"gate_forward", "gate_backward", "balance_loss_forward", "balance_loss_backward", "sort_by_expert"}) {
    add(op + std::string("/2048x16_top2"),
        [=](benchmark::State& state) { moe_benches(state, op, DType::kF32, 2048, 16, 16, 2); });
    add(op + std::string("/2048x256_top8"),
        [=](benchmark::State& state) { moe_benches(state, op, DType::kF32, 2048, 16, 256, 8); });
  }
  for (const char* op : {"logprobs_forward", "logprobs_entropy", "logprobs_backward"}) {
    add(op + std::string("/2048x128"), [=](benchmark::State& state) { loss_benches(state, op, 2048, 128); });
    add(op + std::string("/64x129280"), [=](benchmark::State& state) { loss_benches(state, op, 64, 129280); });
  }
  for (const char* op : {"adamw_step", "axpby"})
    for (int64_t count : {16384, 2400000})
      add(op + ("/" + std::to_string(count)), [=](benchmark::State& state) { optimizer_benches(state, op, count); });
}

}  // namespace
}  // namespace tenth

int main(int argc, char** argv) { return tenth::run_benches(argc, argv, tenth::register_all); }
