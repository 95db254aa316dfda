// What config.json may ask of attention.
#include <gmock/gmock.h>

#include "nn/arch/architecture.h"
#include "nn/tiny_models.h"

namespace tenth::testing {
namespace {

using ::testing::HasSubstr;

// "" where it is read; the context is 512 tokens, the layers are two.
std::string refusal(const char* model_type, const std::vector<std::pair<const char*, Json>>& keys) {
  ModelConfig config = tiny_config("gqa");
  config.model_type = model_type;
  config.attention_bias = config.model_type == "qwen2";
  Json json = Json::parse(config_json(config, DType::kF32).dump());
  for (const auto& [key, value] : keys) json[key] = value;
  try {
    EXPECT_EQ(config_of(json, "config.json").max_position_embeddings, 512);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(int(error.kind()), int(ErrorKind::kUnsupported)) << error.what();
    return error.what();
  }
}

TEST(Config, AWindowShorterThanTheContextIsRefused) {
  const auto refused = [](const std::string& text) {
    EXPECT_THAT(text, HasSubstr("config.json: sliding_window: expected at least the context of 512 tokens"));
    EXPECT_THAT(text, HasSubstr("got 64"));
  };
  // Qwen: the first max_window_layers see everything.
  refused(refusal("qwen2", {{"use_sliding_window", true}, {"sliding_window", 64}, {"max_window_layers", 1}}));
  refused(refusal("qwen3", {{"use_sliding_window", true}, {"sliding_window", 64}, {"max_window_layers", 0}}));
  EXPECT_EQ(refusal("qwen2", {{"use_sliding_window", true}, {"sliding_window", 64}, {"max_window_layers", 2}}), "");
  EXPECT_EQ(refusal("qwen2", {{"use_sliding_window", true}, {"sliding_window", 512}, {"max_window_layers", 0}}), "");
  EXPECT_EQ(refusal("qwen2", {{"use_sliding_window", true}}), "") << "28 layers see everything by default";
  EXPECT_EQ(refusal("qwen2", {{"use_sliding_window", false}, {"sliding_window", 64}, {"max_window_layers", 1}}), "");
  EXPECT_EQ(refusal("qwen2", {{"sliding_window", 64}}), "") << "as transformers has it";
  // Others: the window alone says it.
  refused(refusal("llama", {{"sliding_window", 64}}));
  EXPECT_EQ(refusal("llama", {{"sliding_window", 4096}}), "");
  EXPECT_EQ(refusal("llama", {{"sliding_window", nullptr}}), "");
  EXPECT_EQ(refusal("qwen2", {{"layer_types", {"full_attention", "full_attention"}}}), "");
  EXPECT_THAT(refusal("qwen3", {{"layer_types", {"full_attention", "sliding_attention"}}}),
              HasSubstr("layer_types: expected full_attention in every layer, got \"sliding_attention\""));
}

}  // namespace
}  // namespace tenth::testing
