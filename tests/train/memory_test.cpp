#include "train/memory.h"

#include "base/rng.h"
#include "tiny_run.h"
#include "train/stage.h"

namespace tenth {
namespace {

using testing::TempFolder;

// Batches of sequences of one length, random tokens.
class RandomBatches final : public Dataset {
 public:
  RandomBatches(const ModelConfig& config, int64_t tokens, int64_t length)
      : vocabulary_(config.vocab_size), tokens_(tokens), length_(length) {}
  Examples batch(int64_t index) const override {
    Rng rng(7, uint64_t(index));
    Examples examples;
    for (int64_t at = 0; at < tokens_; at += length_) {
      std::vector<int32_t> ids(static_cast<size_t>(length_));
      for (int32_t& id : ids) id = int32_t(rng.below(uint64_t(vocabulary_)));
      examples.add(ids, 0);
    }
    return examples;
  }

 private:
  int64_t vocabulary_, tokens_, length_;
};

ModelConfig base_config() {
  ModelConfig c;
  c.vocab_size = 1000;
  c.max_position_embeddings = 256;
  c.hidden_size = 96;
  c.intermediate_size = 256;
  c.num_attention_heads = 4;
  return c;
}

ModelConfig mixture_config() {
  ModelConfig c = base_config();
  c.model_type = "deepseek_v3";
  c.num_hidden_layers = 4;
  c.q_lora_rank = 48;
  c.kv_lora_rank = 40;
  c.qk_nope_head_dim = 24;
  c.qk_rope_head_dim = 16;
  c.v_head_dim = 24;
  c.n_routed_experts = 8;
  c.n_shared_experts = 1;
  c.moe_intermediate_size = 56;
  c.gate.experts_per_token = 2;
  c.gate_bias = true;
  c.sparse_layer = {false, true, true, true};
  c.num_nextn_predict_layers = 1;
  return c;
}

ModelConfig dense_config() {
  ModelConfig c = base_config();
  c.model_type = "llama";
  c.num_hidden_layers = 3;
  c.num_key_value_heads = 2;
  c.head_dim = 24;
  c.sparse_layer = {false, false, false};
  c.rope_style = RopeStyle::kHalves;
  return c;
}

ModelConfig normed_config() {
  ModelConfig c = dense_config();
  c.model_type = "qwen3";
  c.qk_norm = true;
  return c;
}

double measured_peak(const ModelConfig& config, const MemoryPlan& plan) {
  check_config(config, "memory_test");
  Backend& backend = get_backend("cpu");
  const double before = double(backend.pool_statistics().bytes_in_use);
  auto model = std::make_unique<Transformer>(config, backend, plan.compute);
  initialize(*model, 1, 0.5);
  backend.reset_peak();
  TempFolder folder;
  MetricsWriter metrics(folder.path());
  StageSettings settings;
  settings.name = "train";
  settings.steps = 2;
  settings.optimizer.kind = plan.muon ? OptimizerOptions::Kind::kMuon : OptimizerOptions::Kind::kAdamW;
  settings.optimizer.lr = settings.optimizer.adam_lr = 1e-3;
  settings.clip = 1;
  settings.mtp_weight = plan.mtp ? 0.3 : 0;
  settings.balance_weight = 1e-4;
  settings.recompute = plan.recompute;
  run_stage(*model, RandomBatches(config, plan.batch_tokens, plan.context), settings,
            {.run_dir = folder.path(), .metrics = metrics, .resume = {}});
  return double(backend.pool_statistics().peak_bytes_in_use) - before;
}

void expect_close(const ModelConfig& config, const MemoryPlan& plan) {
  const MemoryPrediction prediction = predict_memory(config, plan);
  const double measured = measured_peak(config, plan), ratio = measured / prediction.peak();
  std::printf("measured %.2f MB, predicted %.2f MB: %.3f\n", measured / 1e6, prediction.peak() / 1e6, ratio);
  EXPECT_LE(ratio, 1.2);
  EXPECT_GE(ratio, 0.8);
}

TEST(Memory, TheRealPeakIsThePredictedOne) {
  const testing::ThreadCount threads(2);
  for (const DType compute : {DType::kF32, DType::kBF16})
    for (const bool muon : {true, false})
      for (const int64_t tokens : {256, 2048})
        for (const bool recompute : {false, true}) {
          SCOPED_TRACE(
              fmt::format("{} bytes, muon {}, {} tokens, recompute {}", size_of(compute), muon, tokens, recompute));
          const MemoryPlan plan{tokens, 128, compute, muon, true, 2, recompute};
          expect_close(mixture_config(), plan);
          expect_close(dense_config(), plan);
          expect_close(normed_config(), plan);
        }
}

// Reference training.md, section 4: bytes a parameter.
TEST(Memory, StateIsSixteenBytesAParameterUnderAdamW) {
  const ModelConfig config = dense_config();
  const double n = double(model_size(config).parameters);
  const auto bytes = [&](DType compute, bool muon, size_t line) {
    return predict_memory(config, {256, 128, compute, muon, true, 2}).state.at(line).bytes / n;
  };
  EXPECT_NEAR(bytes(DType::kF32, false, 0), 4, 0.5);  // blocks are a little larger than tensors
  EXPECT_NEAR(bytes(DType::kF32, false, 3), 4, 0.5);
  EXPECT_NEAR(bytes(DType::kF32, false, 4), 8, 1);
  EXPECT_EQ(bytes(DType::kF32, false, 1), 0);
  EXPECT_NEAR(bytes(DType::kBF16, false, 1), 2, 0.25);
  EXPECT_LT(bytes(DType::kF32, true, 4), bytes(DType::kF32, false, 4));
}

}  // namespace
}  // namespace tenth
