// One optimizer step of the demo's model (2.4 M parameters: width 128, four layers, three of them with 16 experts of
// width 96 and a shared one, MTP module left out), and the norm of its gradients.
// Muon's bound is the machine's peak in f32: of_peak counts the operations of Newton-Schulz, 5 (4 n^2 m + 2 n^3)
// for a matrix of sides n <= m. AdamW's bound is memory: bytes are its reads of p, m, v, g and writes of p, m, v.
#include <benchmark/benchmark.h>

#include <memory>

#include "backend/cpu/machine.h"
#include "backend/cpu/peak.h"
#include "base/rng.h"
#include "base/threads.h"
#include "nn/transformer.h"
#include "optim/optimizer.h"

namespace tenth {
namespace {

ModelConfig demo_config() {
  ModelConfig c;
  c.model_type = "deepseek_v3";
  c.vocab_size = 121;
  c.hidden_size = 128;
  c.num_hidden_layers = 4;
  c.max_position_embeddings = 256;
  c.intermediate_size = 384;
  c.num_attention_heads = c.num_key_value_heads = 4;
  c.kv_lora_rank = 64;
  c.qk_nope_head_dim = 32;
  c.qk_rope_head_dim = 16;
  c.v_head_dim = 32;
  c.n_routed_experts = 16;
  c.n_shared_experts = 1;
  c.moe_intermediate_size = 96;
  c.sparse_layer = {false, true, true, true};
  c.gate.experts_per_token = 2;
  c.gate_bias = true;
  return c;
}

std::unique_ptr<Transformer> demo_model() {
  auto model = std::make_unique<Transformer>(demo_config(), get_backend("cpu"), DType::kF32);
  initialize(*model, 1, 0.5);
  model->set_training(true);
  Rng rng(2);
  for (const Parameter& p : model->parameters()) {
    if (!p.grad() || p.row_begin != 0 || p.expert > 0) continue;
    std::vector<float> values(size_t(p.weight->grad.count()));
    for (float& value : values) value = float(rng.normal());
    p.weight->grad.device().copy_from_host(p.weight->grad.raw(), values.data(), p.weight->grad.bytes());
  }
  return model;
}

double newton_schulz_operations(const std::vector<Parameter>& parameters) {
  double operations = 0;
  for (const Parameter& p : parameters) {
    if (p.role != Parameter::Role::kMatrix) continue;
    const double n = double(std::min(p.shape()[0], p.shape()[1])), m = double(std::max(p.shape()[0], p.shape()[1]));
    operations += 5 * (4 * n * n * m + 2 * n * n * n);
  }
  return operations;
}

void step_bench(benchmark::State& state, OptimizerOptions::Kind kind) {
  const int before = thread_count();
  set_thread_count(int(state.range(0)));
  const auto model = demo_model();
  Optimizer optimizer(model->parameters(), {.kind = kind, .lr = 1e-4, .adam_lr = 1e-4, .weight_decay = 0.1});
  optimizer.step();
  for (auto _ : state) optimizer.step();
  const double steps = double(state.iterations());
  if (kind == OptimizerOptions::Kind::kMuon) {
    const double gigaoperations = newton_schulz_operations(model->parameters()) * steps / 1e9;
    state.counters["GFLOP/s"] = benchmark::Counter(gigaoperations, benchmark::Counter::kIsRate);
    const double peak = measured_peak_gflops(DType::kF32) * double(thread_count());
    state.counters["of_peak"] = benchmark::Counter(gigaoperations / peak, benchmark::Counter::kIsRate);
  } else {
    state.SetBytesProcessed(state.iterations() * 7 * 4 * model_size(model->config()).parameters);
  }
  set_thread_count(before);
}

void muon_step_of_demo(benchmark::State& state) { step_bench(state, OptimizerOptions::Kind::kMuon); }
void adamw_step_of_demo(benchmark::State& state) { step_bench(state, OptimizerOptions::Kind::kAdamW); }

void gradient_norm_of_demo(benchmark::State& state) {
  const auto model = demo_model();
  for (auto _ : state) benchmark::DoNotOptimize(global_norm(model->parameters()));
}

void threads(benchmark::internal::Benchmark* bench) {
  for (int n = 1; n < thread_count(); n *= 2) bench->Arg(n);
  bench->Arg(thread_count())->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK(muon_step_of_demo)->Apply(threads);
BENCHMARK(adamw_step_of_demo)->Apply(threads);
BENCHMARK(gradient_norm_of_demo)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace tenth

int main(int argc, char** argv) {
  benchmark::AddCustomContext("machine", tenth::machine_name());
  // The peak of one thread, which other work on the machine disturbs least; n threads have n times as much.
  const int threads = tenth::thread_count();
  tenth::set_thread_count(1);
  tenth::measured_peak_gflops(tenth::DType::kF32);
  tenth::set_thread_count(threads);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
