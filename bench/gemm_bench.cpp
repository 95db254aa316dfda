// The linear family of the CPU backend beside the machine's multiply-add peak (of_peak: 1 = the processor does nothing
// but multiply and add). Shapes: the demo's model (width 128, 1536 tokens a step, 16 experts of width 96), dsv3a (2048
// tokens, width 256, 32 experts of width 128, 4 a token), squares, and decoding 1 to 64 rows at once. Experts get three
// quarters and five quarters of the mean number of rows in turn.
//   gemm_bench --benchmark_filter=demo --benchmark_format=csv
// TENTH_CPU=avx2 (…) shows another instruction set.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/machine.h"
#include "backend/cpu/peak.h"
#include "base/rng.h"
#include "base/threads.h"

namespace tenth {
namespace {

// rows tokens through a weight (outputs, inputs), or through experts weights, rows split among them.
struct Linear {
  const char* name;
  int64_t rows, outputs, inputs, experts = 0;
};

constexpr Linear kTraining[] = {
    {"demo_attention_out", 1536, 128, 128},
    {"demo_mlp_up", 1536, 768, 128},
    {"demo_mlp_down", 1536, 128, 384},
    {"demo_experts_up", 3072, 192, 128, 16},
    {"demo_experts_down", 3072, 128, 96, 16},
    {"dsv3a_query", 2048, 192, 128},
    {"dsv3a_mlp_up", 2048, 1280, 256},
    {"dsv3a_experts_up", 8192, 256, 256, 32},
    {"dsv3a_experts_down", 8192, 256, 128, 32},
    {"dsv3a_head", 2048, 8192, 256},
    {"square_512", 512, 512, 512},
    {"square_1024", 1024, 1024, 1024},
};
constexpr Linear kDecoding[] = {
    {"decode_1_of_128", 1, 128, 128},
    {"decode_8_of_128", 8, 128, 128},
    {"decode_64_of_128", 64, 128, 128},
    {"decode_1_of_1024", 1, 1024, 1024},
    {"decode_8_of_1024", 8, 1024, 1024},
    {"decode_64_of_1024", 64, 1024, 1024},
    {"decode_64_demo_experts", 128, 192, 128, 16},
    {"decode_1_dsv3a_head", 1, 8192, 256},
};

enum class Pass { kForward, kInput, kWeight };

Tensor random_tensor(Backend& backend, DType dtype, Shape shape, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(size_t(shape.count()));
  for (float& x : values) x = float(rng.normal());
  const Tensor f32 = Tensor::from_host(backend, std::span<const float>(values), shape);
  if (dtype == DType::kF32) return f32;
  Tensor t = Tensor::make(backend, dtype, shape);
  backend.copy(t, f32);
  return t;
}

Tensor uneven_offsets(Backend& backend, const Linear& s) {
  std::vector<int32_t> offsets = {0};
  for (int64_t e = 1; e <= s.experts; e++) {
    const double even = double(s.rows) / double(s.experts) * double(e);
    offsets.push_back(
        int32_t(e == s.experts ? double(s.rows) : even + (e % 2 ? 0.25 : 0) * double(s.rows) / double(s.experts)));
  }
  return Tensor::from_host(backend, offsets);
}

void linear_bench(benchmark::State& state, const Linear& s, Pass pass, DType dtype) {
  const int before = thread_count();
  set_thread_count(int(state.range(0)));
  Backend& backend = get_backend("cpu");
  const Shape weight = s.experts ? Shape{s.experts, s.outputs, s.inputs} : Shape{s.outputs, s.inputs};
  const Tensor w = random_tensor(backend, dtype, weight, 1), x = random_tensor(backend, dtype, {s.rows, s.inputs}, 2);
  const Tensor y = random_tensor(backend, dtype, {s.rows, s.outputs}, 3);
  const Tensor dw = random_tensor(backend, DType::kF32, weight, 4);
  const Tensor offsets = s.experts ? uneven_offsets(backend, s) : Tensor();
  const Tensor packed = backend.pack_weight(w);
  for (auto _ : state) {
    if (pass == Pass::kForward) backend.linear_forward(y, x, w, packed, {}, offsets);
    if (pass == Pass::kInput) backend.linear_backward_input(x, y, w, offsets, true);
    if (pass == Pass::kWeight) backend.linear_backward_weight(dw, {}, y, x, offsets, true);
  }
  const double gigaoperations = 2e-9 * double(s.rows * s.outputs * s.inputs) * double(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(gigaoperations, benchmark::Counter::kIsRate);
  const double peak = measured_peak_gflops(dtype) * double(thread_count());
  state.counters["of_peak"] = benchmark::Counter(gigaoperations / peak, benchmark::Counter::kIsRate);
  set_thread_count(before);
}

void pack_bench(benchmark::State& state, DType dtype) {
  Backend& backend = get_backend("cpu");
  const Tensor w = random_tensor(backend, dtype, {16, 192, 128}, 1);
  for (auto _ : state) benchmark::DoNotOptimize(backend.pack_weight(w));
  state.SetBytesProcessed(state.iterations() * int64_t(w.bytes()));
}

void register_benches() {
  const auto add = [](const std::string& name, const Linear& s, Pass pass, DType dtype) {
    auto* bench = benchmark::RegisterBenchmark(name.c_str(),
                                               [=](benchmark::State& state) { linear_bench(state, s, pass, dtype); });
    for (int n = 1; n < thread_count(); n *= 2) bench->Arg(n);
    bench->Arg(thread_count())->ArgName("threads")->Unit(benchmark::kMicrosecond)->UseRealTime();
  };
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    const std::string type = "/" + std::string(name_of(dtype));
    for (const Linear& s : kTraining) {
      add(std::string(s.name) + "/y" + type, s, Pass::kForward, dtype);
      add(std::string(s.name) + "/dx" + type, s, Pass::kInput, dtype);
      add(std::string(s.name) + "/dw" + type, s, Pass::kWeight, dtype);
    }
    for (const Linear& s : kDecoding) add(std::string(s.name) + "/y" + type, s, Pass::kForward, dtype);
    benchmark::RegisterBenchmark(("pack_demo_experts" + type).c_str(),
                                 [=](benchmark::State& state) { pack_bench(state, dtype); });
  }
}

}  // namespace
}  // namespace tenth

int main(int argc, char** argv) {
  benchmark::AddCustomContext("machine", tenth::machine_name());
  // The peak of one thread, which other work on the machine disturbs least; n threads have n times as much.
  const int threads = tenth::thread_count();
  tenth::set_thread_count(1);
  tenth::measured_peak_gflops(tenth::DType::kF32);
  tenth::measured_peak_gflops(tenth::DType::kBF16);
  tenth::set_thread_count(threads);
  tenth::register_benches();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
