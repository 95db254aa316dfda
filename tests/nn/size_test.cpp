// Sizes and FLOPs of DeepSeek's published models: ../shared/reference/training.md, section 5 (its figures agree with
// the 250 and 155 GFLOP a token of "Insights into DeepSeek-V3", ISCA 2025).
#include <gtest/gtest.h>

#include "nn/config.h"

namespace tenth {
namespace {

struct Shape5 {
  int64_t vocabulary, hidden, layers, heads, query_rank, dense, expert, routed, shared, chosen, first_dense;
};

ModelConfig deepseek(const Shape5& s) {
  ModelConfig c;
  c.vocab_size = s.vocabulary;
  c.hidden_size = s.hidden;
  c.num_hidden_layers = s.layers;
  c.num_attention_heads = s.heads;
  c.q_lora_rank = s.query_rank;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.intermediate_size = s.dense;
  c.moe_intermediate_size = s.expert;
  c.n_routed_experts = s.routed;
  c.n_shared_experts = s.shared;
  c.gate.experts_per_token = int(s.chosen);
  for (int64_t layer = 0; layer < s.layers; layer++) c.sparse_layer.push_back(layer >= s.first_dense);
  return c;
}

const ModelConfig kV2Lite = deepseek({102400, 2048, 27, 16, 0, 10944, 1408, 64, 2, 6, 1});
const ModelConfig kV2 = deepseek({102400, 5120, 60, 128, 1536, 12288, 1536, 160, 2, 6, 1});
const ModelConfig kV3 = deepseek({129280, 7168, 61, 128, 1536, 18432, 2048, 256, 1, 8, 3});

// Units: billions of parameters, and GFLOP a token at 4096 tokens; to the digits of the table.
void expect_row(const ModelConfig& config, double multiplied, double weights, double attention, double total) {
  const ModelSize size = model_size(config);
  EXPECT_NEAR(double(size.active_parameters) / 1e9, multiplied, 0.006);
  EXPECT_NEAR(6e-9 * double(size.active_parameters), weights, 0.06);
  EXPECT_NEAR(size.training_flops(4096) / 1e9 - 6e-9 * double(size.active_parameters), attention, 0.06);
  EXPECT_NEAR(size.training_flops(4096) / 1e9, total, 0.06);
}

TEST(ModelSize, FlopsOfPublishedModels) {
  expect_row(kV2Lite, 2.451, 14.7, 1.70, 16.4);
  expect_row(kV2, 20.85, 125.1, 30.2, 155.3);
  expect_row(kV3, 36.62, 219.7, 30.7, 250.5);
  EXPECT_NEAR(double(model_size(kV3).parameters) / 1e9, 671, 0.5);
}

TEST(ModelSize, MultiTokenPredictionCountsWhereItIsTrained) {
  ModelConfig with = kV3;
  with.num_nextn_predict_layers = 1;
  const ModelSize size = model_size(with), trunk = trunk_size(with);
  EXPECT_NEAR(double(size.active_parameters - trunk.active_parameters) / 1e9, 1.615, 0.0006);
  EXPECT_NEAR((size.training_flops(4096) - trunk.training_flops(4096)) / 1e9, 10.2, 0.06);
  EXPECT_EQ(trunk.training_flops(4096), model_size(kV3).training_flops(4096));
}

// Causal attention of a whole sequence: 1 + 2 + … + T pairs, 2 FLOPs for each of query and value dimension, three
// times.
TEST(ModelSize, AttentionCountsThePairsOfTheTrueLengths) {
  const ModelSize size = model_size(kV2Lite);
  for (const int64_t length : {1, 2, 7, 4096}) {
    const double pairs = double(length) * double(length + 1) / 2;
    const double attention = 3 * 2 * 27 * 16 * (192 + 128) * pairs;
    EXPECT_DOUBLE_EQ(double(length) * size.training_flops(length),
                     6 * double(size.active_parameters) * double(length) + attention);
  }
}

}  // namespace
}  // namespace tenth
