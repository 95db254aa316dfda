// Products with weights of 8 or 4 bits. One row (decoding) is set beside the rate at which this machine reads memory,
// of weights that no cache holds (of_read: 1 = as fast); many rows (prefill) beside the bf16 multiply-add peak.
//   blocks_bench --benchmark_filter=rows:1
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/peak.h"
#include "base/rng.h"
#include "base/threads.h"
#include "bench_main.h"

namespace tenth {
namespace {

Backend& host() { return get_backend("cpu"); }

// Sums of 64-bit words of 512 MB, all threads.
double read_bytes_per_second() {
  static const double rate = [] {
    const int64_t words = int64_t(64) << 20;
    std::vector<uint64_t> memory(size_t(words), 3);
    double best = 0;
    for (int run = 0; run < 4; run++) {
      const auto start = std::chrono::steady_clock::now();
      std::atomic<uint64_t> total = 0;
      parallel_for(words, 1 << 16, [&](int64_t begin, int64_t end) {
        uint64_t sums[32] = {};
        for (int64_t i = begin; i + 32 <= end; i += 32)
          for (int j = 0; j < 32; j++) sums[j] += memory[size_t(i + j)];
        for (uint64_t sum : sums) total += sum;
      });
      benchmark::DoNotOptimize(total.load());
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      best = std::max(best, 8.0 * double(words) / seconds);
    }
    return best;
  }();
  return rate;
}

void linear(benchmark::State& state, BlockWeight::Form form, int64_t rows, int64_t outputs, int64_t inputs) {
  // Enough weights that none is in a cache when its turn comes.
  const int64_t copies = rows == 1 ? std::max<int64_t>(1, (int64_t(256) << 20) / (outputs * inputs)) : 1;
  std::vector<BlockWeight> weights;
  for (int64_t i = 0; i < copies; i++) {
    weights.push_back(make_block_weight(host(), form, 1, outputs, inputs));
    std::memset(weights.back().data.raw(), 0x31, weights.back().data.bytes());
  }
  const Tensor x = Tensor::make(host(), DType::kF32, {rows, inputs}),
               y = Tensor::make(host(), DType::kF32, {rows, outputs});
  host().fill(x, 0.5);
  size_t turn = 0;
  for (auto _ : state) host().block_linear_forward(y, x, weights[turn++ % weights.size()], {}, {});
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  const double bytes = double(weights[0].data.bytes()), operations = 2.0 * double(rows * outputs * inputs);
  if (rows == 1) {
    state.counters["GB/s"] = benchmark::Counter(bytes * 1e-9, rate);
    state.counters["of_read"] = benchmark::Counter(bytes / read_bytes_per_second(), rate);
  } else {
    state.counters["GOP/s"] = benchmark::Counter(operations * 1e-9, rate);
    state.counters["of_bf16_peak"] = benchmark::Counter(operations / (measured_peak_gflops(DType::kBF16) * 1e9), rate);
  }
}

void register_all() {
  const std::pair<const char*, BlockWeight::Form> forms[] = {
      {"int8", BlockWeight::Form::kInt8}, {"int4", BlockWeight::Form::kInt4}, {"int4min", BlockWeight::Form::kInt4Min}};
  for (const auto& [name, form] : forms)
    for (const auto& [outputs, inputs] : {std::pair<int64_t, int64_t>{1536, 576}, {4096, 1024}})
      for (int64_t rows : {1, 8, 512})
        benchmark::RegisterBenchmark(("linear_" + std::string(name) + "/" + std::to_string(outputs) + "x" +
                                      std::to_string(inputs) + "/rows:" + std::to_string(rows))
                                         .c_str(),
                                     [form = form, rows, outputs = outputs, inputs = inputs](benchmark::State& state) {
                                       linear(state, form, rows, outputs, inputs);
                                     })
            ->UseRealTime();
}

}  // namespace
}  // namespace tenth

int main(int argc, char** argv) { return tenth::run_benches(argc, argv, tenth::register_all); }
