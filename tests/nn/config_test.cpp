// What config.json may ask of attention.
#include <gmock/gmock.h>

#include "nn/arch/architecture.h"
#include "nn/tiny_models.h"

namespace tenth::testing {
namespace {

using ::testing::HasSubstr;

// The context is 512 tokens, the layers are two.
ModelConfig read_with(const char* model_type, const std::vector<std::pair<const char*, Json>>& keys) {
  ModelConfig config = tiny_config("gqa");
  config.model_type = model_type;
  config.attention_bias = config.model_type == "qwen2";
  Json json = Json::parse(config_json(config, DType::kF32).dump());
  for (const auto& [key, value] : keys) json[key] = value;
  const ModelConfig read = config_of(json, "config.json");
  const ModelConfig again = config_of(Json::parse(config_json(read, DType::kF32).dump()), "config.json");
  for (int64_t layer = 0; layer < 2; layer++) EXPECT_EQ(again.window_of(layer), read.window_of(layer));
  return read;
}

std::vector<int64_t> windows(const char* model_type, const std::vector<std::pair<const char*, Json>>& keys) {
  const ModelConfig config = read_with(model_type, keys);
  return {config.window_of(0), config.window_of(1)};
}

std::string refusal(const char* model_type, const std::vector<std::pair<const char*, Json>>& keys) {
  try {
    read_with(model_type, keys);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// As transformers 5 reads them (Qwen2Config and its kin), and vLLM where transformers' llama knows no window.
TEST(Config, LayersSeeAWindow) {
  using Windows = std::vector<int64_t>;
  const Windows none = {0, 0}, second = {0, 64}, both = {64, 64};
  // Qwen: the first max_window_layers see everything.
  const Json yes = true;
  EXPECT_EQ(windows("qwen2", {{"use_sliding_window", yes}, {"sliding_window", 64}, {"max_window_layers", 1}}), second);
  EXPECT_EQ(windows("qwen3", {{"use_sliding_window", yes}, {"sliding_window", 64}, {"max_window_layers", 0}}), both);
  EXPECT_EQ(windows("qwen2", {{"use_sliding_window", yes}, {"sliding_window", 64}, {"max_window_layers", 2}}), none);
  EXPECT_EQ(windows("qwen2", {{"use_sliding_window", yes}, {"sliding_window", 512}, {"max_window_layers", 0}}), none);
  EXPECT_EQ(windows("qwen2", {{"use_sliding_window", yes}}), none) << "28 layers see everything by default";
  EXPECT_EQ(windows("qwen2", {{"use_sliding_window", false}, {"sliding_window", 64}, {"max_window_layers", 1}}), none);
  EXPECT_EQ(windows("qwen2", {{"sliding_window", 64}}), none);
  // Others: the window alone says it.
  EXPECT_EQ(windows("llama", {{"sliding_window", 64}}), both);
  EXPECT_EQ(windows("llama", {{"sliding_window", 4096}}), none);
  EXPECT_EQ(windows("llama", {{"sliding_window", nullptr}}), none);
  // A list of layers says it all.
  const Json mixed = {"full_attention", "sliding_attention"}, full = {"full_attention", "full_attention"};
  EXPECT_EQ(windows("qwen3", {{"layer_types", mixed}, {"use_sliding_window", yes}, {"sliding_window", 64}}), second);
  EXPECT_EQ(windows("qwen2", {{"layer_types", full}, {"use_sliding_window", yes}, {"sliding_window", 64}}), none);
  EXPECT_EQ(windows("llama", {{"layer_types", mixed}, {"sliding_window", 64}}), second);

  EXPECT_THAT(refusal("qwen3", {{"layer_types", mixed}}),
              HasSubstr("config.json: sliding_window: expected at least 1 where layers slide, got none"));
  EXPECT_THAT(refusal("llama", {{"sliding_window", -3}}), HasSubstr("expected at least 1 where layers slide, got -3"));
  EXPECT_THAT(refusal("llama", {{"layer_types", {"full_attention"}}}),
              HasSubstr("layer_types: expected 2 entries (num_hidden_layers), got 1"));
  EXPECT_THAT(refusal("llama", {{"layer_types", {"full_attention", "chunked_attention"}}}),
              HasSubstr("layer_types: expected full_attention or sliding_attention, got \"chunked_attention\""));
}

TEST(Config, OfSparseAttention) {
  const Json good = Json::parse(config_json(tiny_config("mla_sparse"), DType::kF32).dump());
  const ModelConfig read = config_of(good, "config.json");
  EXPECT_EQ(read.index_topk, 6);
  EXPECT_EQ(read.index_n_heads, 3);
  EXPECT_EQ(read.index_head_dim, 14);
  const auto refusal = [&](const char* key, const Json& value) -> std::string {
    Json json = good;
    json[key] = value;
    try {
      config_of(json, "config.json");
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_EQ(refusal("index_topk", 0), "config.json: index_topk: expected at least 1, got 0");
  EXPECT_THAT(refusal("index_topk", nullptr), HasSubstr("index_topk: expected a whole number, the field is missing"));
  EXPECT_THAT(refusal("index_n_heads", -1), HasSubstr("index_n_heads: expected 1 … 4096, got -1"));
  EXPECT_THAT(refusal("index_head_dim", 4), HasSubstr("index_head_dim: expected at least qk_rope_head_dim 6, got 4"));
  EXPECT_THAT(refusal("q_lora_rank", nullptr), HasSubstr("q_lora_rank: expected at least 1"));
}

}  // namespace
}  // namespace tenth::testing
