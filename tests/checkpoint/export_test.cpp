// Models out of the house and back: GGUF and safetensors, plain and quantised, and what neither can hold.
#include <gmock/gmock.h>

#include "checkpoint/export_gguf.h"
#include "checkpoint/export_safetensors.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_vocabulary.h"
#include "nn/arch/architecture.h"
#include "nn/golden_models.h"
#include "safetensors_files.h"

namespace tenth::testing {
namespace {

using ::testing::HasSubstr;

Backend& cpu() { return get_backend("cpu"); }

std::map<std::string, Values> weights_of(const Path& model) {
  const auto loaded = load_model(model, cpu(), DType::kF32);
  std::map<std::string, Values> weights;
  for (const Parameter& p : loaded->parameters()) weights[p.name] = values_of(p.value());
  return weights;
}

// What GGUF has no place for is left out of a config that is compared.
OrderedJson comparable_config(ModelConfig c) {
  OrderedJson json = config_json(c, DType::kF32);
  for (const char* key : {"initializer_range", "aux_loss_alpha", "bos_token_id", "eos_token_id", "rope_scaling"})
    json.erase(key);
  return json;
}

void write_folder(const Path& from, const Path& to, SafetensorsExport options) {
  const WeightSource source = WeightSource::open(from);
  std::filesystem::create_directories(to);
  write_file(to / "config.json", exported_config(source, options.type));
  export_safetensors(source, to, options);
}

// deepseek_v3_yarn has two magnitudes, qwen3_moe a dense layer among sparse ones, deepseek_v32 an indexer.
bool fits_gguf(const std::string& name) {
  return name != "deepseek_v3_yarn" && name != "qwen3_moe" && name != "deepseek_v32";
}

class GoldenExport : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (kNotYet.count(GetParam())) GTEST_SKIP() << "not yet read";
  }
  Path model() const { return golden_models() / GetParam(); }
  TemporaryFolder folder_;
};

TEST_P(GoldenExport, GgufInF32HoldsTheSameNumbers) {
  TENTH_NEEDS_SHARED();
  const WeightSource source = WeightSource::open(model());
  const Path file = folder_ / "m.gguf";
  if (!fits_gguf(GetParam())) {
    EXPECT_THAT(error_of(ErrorKind::kUnsupported, [&] { export_gguf(source, file, {.type = "F32"}); }),
                HasSubstr("GGUF has no place"));
    EXPECT_EQ(folder_.files(), 0u);
    return;
  }
  export_gguf(source, file, {.type = "F32", .name = "m"});
  const ModelConfig back = read_model_config(file);
  EXPECT_EQ(comparable_config(back).dump(), comparable_config(source.config()).dump());
  EXPECT_LT(distance(rope_frequencies(back), rope_frequencies(source.config())), 1e-7);
  EXPECT_NEAR(back.softmax_scale(), source.config().softmax_scale(), 1e-9);
  const auto want = weights_of(model());
  EXPECT_EQ(weights_of(file), want);

  // And from there to a folder, and to GGUF again.
  write_folder(file, folder_ / "f", {.type = SafetensorsExport::Type::kF32});
  EXPECT_EQ(weights_of(folder_ / "f"), want);
  export_gguf(WeightSource::open(file), folder_ / "again.gguf", {.type = "F32", .name = "m"});
  EXPECT_EQ(read_file(folder_ / "again.gguf"), read_file(file));
}

double largest_error(const std::map<std::string, Values>& got, const std::map<std::string, Values>& want) {
  double worst = 0;
  for (const auto& [name, values] : got) {
    const bool plain =
        name.find("norm") != name.npos || name.find("bias") != name.npos || name.ends_with("mlp.gate.weight");
    const double off = relative_distance(values, want.at(name));
    EXPECT_TRUE(!plain || off == 0) << name;
    worst = std::max(worst, off);
  }
  return worst;
}

// Relative errors of the formats on numbers of a normal distribution, with room: tests/tensor/block_format_test.cpp.
TEST_P(GoldenExport, QuantisedGgufIsAsNearAsItsBits) {
  TENTH_NEEDS_SHARED();
  if (!fits_gguf(GetParam())) GTEST_SKIP() << "no GGUF of it";
  const WeightSource source = WeightSource::open(model());
  const auto want = weights_of(model());
  for (const auto& [type, allowed] : std::map<std::string, double>{
           {"F16", 0.0005}, {"BF16", 0.003}, {"Q8_0", 0.01}, {"Q6_K", 0.03}, {"Q4_K", 0.12}, {"Q4_0", 0.14}}) {
    export_gguf(source, folder_ / (type + ".gguf"), {.type = type, .name = "m"});
    EXPECT_LT(largest_error(weights_of(folder_ / (type + ".gguf")), want), allowed) << type;
  }
}

TEST_P(GoldenExport, FoldersHoldTheSameNumbers) {
  TENTH_NEEDS_SHARED();
  const auto want = weights_of(model());
  write_folder(model(), folder_ / "whole", {.type = SafetensorsExport::Type::kF32});
  EXPECT_EQ(weights_of(folder_ / "whole"), want);
  write_folder(model(), folder_ / "shards", {.type = SafetensorsExport::Type::kF32, .shard_bytes = 100000});
  EXPECT_EQ(weights_of(folder_ / "shards"), want);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "shards" / "model.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "shards" / "model.safetensors.index.json"));
  // The reader checks total_size and that each tensor is where the index says.
  EXPECT_EQ(read_config(folder_ / "shards" / "config.json").model_type,
            read_config(model() / "config.json").model_type);
}

TEST_P(GoldenExport, Fp8FoldersAreDeepSeeks) {
  TENTH_NEEDS_SHARED();
  write_folder(model(), folder_ / "fp8", {.type = SafetensorsExport::Type::kFp8});
  const auto want = weights_of(model()), got = weights_of(folder_ / "fp8");
  const SafetensorsSet before = SafetensorsSet::open(model()), files = SafetensorsSet::open(folder_ / "fp8");
  int blocks = 0;
  for (const auto& [name, values] : got) {
    const StoredTensor& stored = files.at(name);
    const bool fp8 = stored.dtype == "F8_E4M3";
    blocks += fp8;
    EXPECT_LT(relative_distance(values, want.at(name)), fp8 ? 0.04 : 0.004) << name;
    EXPECT_EQ(files.find(name + "_scale_inv") != nullptr, fp8) << name;
    const StoredTensor* old = before.find(name);
    const bool copied = old && old->dtype == "F8_E4M3";
    EXPECT_TRUE(!copied || std::ranges::equal(old->bytes, stored.bytes)) << name;
  }
  EXPECT_GT(blocks, 4);
  const Json config = read_json(folder_ / "fp8" / "config.json");
  EXPECT_EQ(config["quantization_config"]["weight_block_size"], Json({128, 128}));
  // And out of FP8 again, without a trace of it.
  write_folder(folder_ / "fp8", folder_ / "plain", {.type = SafetensorsExport::Type::kF32});
  EXPECT_EQ(weights_of(folder_ / "plain"), got);
  EXPECT_FALSE(read_json(folder_ / "plain" / "config.json").contains("quantization_config"));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenExport, ::testing::ValuesIn(golden_model_names()),
                         [](const auto& info) { return info.param; });

// torch's blocks: golden/formats.
TEST(Export, Fp8BlocksAreTorchs) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile golden(shared_folder() / "golden/formats/fp8_blocks.safetensors");
  TemporaryFolder folder;
  const StoredTensor& weight = golden.at("weight");
  const Path model = golden_models() / "llama";
  std::filesystem::copy(model / "config.json", folder / "config.json");
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  write_safetensors(
      folder / "model.safetensors",
      std::vector<TensorToWrite>{{.name = name, .dtype = "F32", .shape = weight.shape, .bytes = weight.bytes}});
  write_folder(folder.path(), folder / "fp8", {.type = SafetensorsExport::Type::kFp8});
  const SafetensorsFile file(folder / "fp8" / "model.safetensors");
  EXPECT_TRUE(std::ranges::equal(file.at(name).bytes, golden.at("weight.plain.fp8").bytes));
  EXPECT_TRUE(std::ranges::equal(file.at(name + "_scale_inv").bytes, golden.at("weight.plain.scale").bytes));
  const WeightSource source = WeightSource::open(folder / "fp8");
  std::vector<float> values(size_t(weight.shape[0] * weight.shape[1]));
  source.at(name).read_rows(0, weight.shape[0], values.data());
  EXPECT_EQ(std::memcmp(values.data(), golden.at("weight.plain.dequantised").bytes.data(), values.size() * 4), 0);
}

TEST(Export, Fp8ScalesMayBePowersOfTwoInAByte) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile golden(shared_folder() / "golden/formats/fp8_blocks.safetensors");
  TemporaryFolder folder;
  std::filesystem::copy(golden_models() / "llama" / "config.json", folder / "config.json");
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  const StoredTensor &q = golden.at("weight.ue8m0.fp8"), &scale = golden.at("weight.ue8m0.scale_exponent_byte");
  const auto write = [&](std::vector<int64_t> scale_shape, const char* type) {
    write_safetensors(folder / "model.safetensors",
                      std::vector<TensorToWrite>{
                          {.name = name, .dtype = "F8_E4M3", .shape = q.shape, .bytes = q.bytes},
                          {.name = name + "_scale_inv", .dtype = type, .shape = scale_shape, .bytes = scale.bytes}});
  };
  write(scale.shape, "F8_E8M0");
  std::vector<float> values(q.bytes.size());
  WeightSource::open(folder.path()).at(name).read_rows(0, q.shape[0], values.data());
  EXPECT_EQ(std::memcmp(values.data(), golden.at("weight.ue8m0.dequantised").bytes.data(), values.size() * 4), 0);
  write({4, 1}, "F8_E8M0");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { WeightSource::open(folder.path()); }), HasSubstr("shape (2, 2)"));
  write(scale.shape, "U8");
  error_of(ErrorKind::kUnsupported, [&] { WeightSource::open(folder.path()); });
  write_safetensors(folder / "model.safetensors",
                    std::vector<TensorToWrite>{{.name = name, .dtype = "F8_E4M3", .shape = q.shape, .bytes = q.bytes}});
  EXPECT_THAT(error_of(ErrorKind::kUnsupported, [&] { WeightSource::open(folder.path()); }),
              HasSubstr("o_proj.weight_scale_inv"));
}

TEST(Export, ANumberThatDoesNotFitLeavesNothing) {
  TENTH_NEEDS_SHARED();
  TemporaryFolder folder;
  const auto model = GoldenModel("llama").load(cpu(), DType::kF32);
  const Tensor weight = model->parameters().at(3).value();
  std::vector<float> values(size_t(weight.count()), 1);
  values[5] = 70000;
  cpu().copy(weight, Tensor::from_host<float>(cpu(), values, weight.shape()));
  std::filesystem::create_directories(folder / "m");
  save_model(folder / "m", *model, DType::kF32);
  const WeightSource source = WeightSource::open(folder / "m");
  for (const char* type : {"F16", "Q8_0", "Q4_K"}) {
    const std::string text =
        error_of(ErrorKind::kNumeric, [&] { export_gguf(source, folder / "m.gguf", {.type = type}); });
    EXPECT_THAT(text, HasSubstr("got 70000"));
    EXPECT_THAT(text, HasSubstr("tensor "));
    EXPECT_EQ(folder.files(), 1u);
  }
}

// tokenizer.json of a release, as llama.cpp's converter puts it.
TEST(Export, VocabulariesOfReleases) {
  TENTH_NEEDS_SHARED();
  TemporaryFolder folder;
  for (const auto& [name, pre, vocabulary, bos, eos] :
       {std::tuple("deepseek_v3", "deepseek-v3", 129280, 0, 1), {"qwen3", "qwen2", 151669, -1, 151645}}) {
    ModelConfig config;
    config.vocab_size = vocabulary;
    const Path from = shared_folder() / "data" / "tokenizers" / name;
    write_gguf(folder / "v.gguf", gguf_vocabulary_entries(from, config), {});
    const GgufFile file = GgufFile::open(folder / "v.gguf");
    const GgufMetadata& in = file.metadata();
    EXPECT_EQ(in.text("tokenizer.ggml.model"), "gpt2");
    EXPECT_EQ(in.text("tokenizer.ggml.pre"), pre);
    EXPECT_EQ(in.texts("tokenizer.ggml.tokens").size(), size_t(vocabulary));
    EXPECT_EQ(in.integer("tokenizer.ggml.bos_token_id", -1), bos);
    EXPECT_EQ(in.integer("tokenizer.ggml.eos_token_id"), eos);
    EXPECT_EQ(in.flag("tokenizer.ggml.add_bos_token", false), bos == 0);
    EXPECT_GT(in.text("tokenizer.chat_template").size(), 500u);
  }
  // Token by token against a file that llama.cpp's converter made.
  const GgufFile want = GgufFile::open(shared_folder() / "golden/tokenizer_gguf/vocab-qwen3.gguf"),
                 got = GgufFile::open(folder / "v.gguf");
  const auto a = want.metadata().texts("tokenizer.ggml.tokens"), b = got.metadata().texts("tokenizer.ggml.tokens");
  const auto types = want.metadata().integers("tokenizer.ggml.token_type"),
             ours = got.metadata().integers("tokenizer.ggml.token_type");
  const auto merges = want.metadata().texts("tokenizer.ggml.merges");
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); i++) {
    ASSERT_EQ(a[i], b[i]) << i;
    ASSERT_EQ(types[i], ours[i]) << i << " " << a[i];
  }
  EXPECT_EQ(got.metadata().texts("tokenizer.ggml.merges"), merges);
}

}  // namespace
}  // namespace tenth::testing
