// Model folders: saved and read to the bit, and broken ones refused in one line that names file and field.
#include "checkpoint/model_folder.h"

#include "base/ordered_json.h"
#include "nn/arch/architecture.h"
#include "nn/golden_models.h"
#include "nn/tiny_models.h"
#include "safetensors_files.h"

namespace tenth::testing {
namespace {

Backend& cpu() { return get_backend("cpu"); }

void expect_same_model(Transformer& got, Transformer& want) {
  const ModelConfig &a = got.config(), &b = want.config();
  EXPECT_EQ(config_json(a, DType::kF32), config_json(b, DType::kF32));
  EXPECT_EQ(a.sparse_layer, b.sparse_layer);
  EXPECT_EQ(a.softmax_scale(), b.softmax_scale());
  EXPECT_EQ(rope_frequencies(a), rope_frequencies(b));
  ASSERT_EQ(got.parameters().size(), want.parameters().size());
  for (size_t i = 0; i < want.parameters().size(); i++) {
    const Parameter &p = got.parameters()[i], &q = want.parameters()[i];
    ASSERT_EQ(p.name, q.name);
    expect_same_bits(values_of(p.value()), values_of(q.value()), p.name);
  }
  const std::vector<int32_t> ids{1, 5, 2, 8, 3}, lengths{5};
  expect_same_bits(values_of(full_logits(got, ids, lengths)), values_of(full_logits(want, ids, lengths)), "logits");
}

class GoldenFolder : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenFolder, IsTheSameAfterSaveAndLoad) {
  TENTH_SKIP_NOT_YET(GetParam());
  const auto model = GoldenModel(GetParam()).load(cpu(), DType::kF32);
  TemporaryFolder folder;
  save_model(folder.path(), *model, DType::kF32);
  expect_same_model(*load_model(folder.path(), cpu(), DType::kF32), *model);
  // No tensor is lost or made up: the names are those of the release.
  const SafetensorsSet before = SafetensorsSet::open(golden_models() / GetParam()),
                       after = SafetensorsSet::open(folder.path());
  if (before.tensors()[0]->file.find("fp8") != std::string_view::npos) return;  // saved wider than it came
  ASSERT_EQ(after.tensors().size(), before.tensors().size());
  for (size_t i = 0; i < before.tensors().size(); i++) {
    EXPECT_EQ(after.tensors()[i]->name, before.tensors()[i]->name);
    EXPECT_TRUE(std::ranges::equal(after.tensors()[i]->bytes, before.tensors()[i]->bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenFolder, ::testing::ValuesIn(golden_model_names()),
                         [](const auto& info) { return info.param; });

class TinyFolder : public ::testing::TestWithParam<std::string> {};

TEST_P(TinyFolder, IsTheSameAfterSaveAndLoad) {
  const auto model = tiny_model(GetParam(), cpu(), DType::kF32);
  TemporaryFolder folder;
  save_model(folder.path(), *model, DType::kF32);
  expect_same_model(*load_model(folder.path(), cpu(), DType::kF32), *model);
  // What computes in bf16 has the same master weights.
  expect_same_model(*load_model(folder.path(), cpu(), DType::kBF16), *tiny_model(GetParam(), cpu(), DType::kBF16));
}

TEST_P(TinyFolder, StoredInBf16IsTheRoundedModel) {
  const auto model = tiny_model(GetParam(), cpu(), DType::kF32);
  TemporaryFolder folder;
  save_model(folder.path(), *model, DType::kBF16);
  const auto again = load_model(folder.path(), cpu(), DType::kF32);
  for (size_t i = 0; i < model->parameters().size(); i++) {
    const Parameter& p = model->parameters()[i];
    Values want = values_of(p.value());
    if (p.role != Parameter::Role::kBuffer)
      for (double& value : want) value = bf16(float(value));
    expect_same_bits(values_of(again->parameters()[i].value()), want, p.name);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TinyFolder, ::testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return info.param; });

TEST(ModelFolder, LayersThatAreSparseNowAndThen) {
  for (const std::vector<bool>& sparse : {std::vector<bool>{true, false, false, true, false},
                                          {false, false, true, false, true},
                                          {false, false, false, false, true},
                                          {true, false, false, false, false},
                                          {false, true, true, true, true}}) {
    ModelConfig config = tiny_config("mla");
    config.num_hidden_layers = 5;
    config.sparse_layer = sparse;
    Transformer model(config, cpu(), DType::kF32);
    initialize(model, 1, 1);
    TemporaryFolder folder;
    save_model(folder.path(), model, DType::kF32);
    expect_same_model(*load_model(folder.path(), cpu(), DType::kF32), model);
  }
}

TEST(ModelFolder, EveryEndTokenStays) {
  for (const std::vector<int64_t>& ends : {std::vector<int64_t>{}, {3}, {3, 1, 39}}) {
    ModelConfig config = tiny_config("mla");
    config.eos_token_ids = ends;
    Transformer model(config, cpu(), DType::kF32);
    TemporaryFolder folder;
    save_model(folder.path(), model, DType::kF32);
    EXPECT_EQ(read_config(folder / "config.json").eos_token_ids, ends);
    const OrderedJson generation = OrderedJson::parse(read_file(folder / "generation_config.json"));
    EXPECT_EQ(generation.contains("eos_token_id"), !ends.empty());
    if (!ends.empty()) {
      EXPECT_EQ(generation["eos_token_id"].is_array(), ends.size() > 1);
    }
  }
}

// A saved folder, broken in one place.
// What transformers 5 saves of such models.
TEST(Folder, TransformersNameOfExpertsAndItsMissingModule) {
  TemporaryFolder folder;
  const auto change = [&](const char* key, const OrderedJson& value, const char* gone) {
    OrderedJson config = parse_ordered_json(read_file(folder / "config.json"), "config.json");
    config[key] = value;
    if (gone) config.erase(gone);
    write_file(folder / "config.json", config.dump());
  };
  auto model = tiny_model("qwen3_moe", cpu(), DType::kF32);
  save_model(folder.path(), *model, DType::kF32);
  change("num_local_experts", model->config().n_routed_experts, "num_experts");
  expect_same_model(*load_model(folder.path(), cpu(), DType::kF32), *model);

  model = tiny_model("mla_q_lora", cpu(), DType::kF32);
  ASSERT_FALSE(model->has_mtp());
  save_model(folder.path(), *model, DType::kF32);
  change("num_nextn_predict_layers", 1, nullptr);
  expect_same_model(*load_model(folder.path(), cpu(), DType::kF32), *model);
}

class BrokenFolder : public ::testing::Test {
 protected:
  void write(const std::string& kind) {
    const auto model = tiny_model(kind, cpu(), DType::kF32);
    save_model(folder_.path(), *model, DType::kF32);
    config_ = OrderedJson::parse(read_file(folder_ / "config.json"));
  }
  // The error of loading; it must name the file and the place, and take no memory to speak of.
  std::string refused(ErrorKind kind, const std::string& file, const std::string& place) {
    cpu().reset_peak();
    const size_t before = cpu().pool_statistics().peak_bytes_in_use;
    const std::string text = error_of(kind, [&] { load_model(folder_.path(), cpu(), DType::kF32); });
    EXPECT_LT(cpu().pool_statistics().peak_bytes_in_use - before, size_t(1) << 22) << text;
    EXPECT_NE(text.find((folder_ / file).string()), std::string::npos) << text;
    EXPECT_NE(text.find(place), std::string::npos) << text;
    EXPECT_LT(text.size(), 400u) << text;
    return text;
  }
  std::string refused_config(const std::string& key, const OrderedJson& value, ErrorKind kind = ErrorKind::kInput) {
    OrderedJson changed = config_;
    changed[key] = value;
    write_file(folder_ / "config.json", changed.dump());
    return refused(kind, "config.json", key);
  }
  // Writes the weights again, changed.
  void rewrite(const std::function<void(std::vector<TensorToWrite>&)>& change) {
    std::vector<TensorToWrite> tensors;
    std::vector<Tensor> kept;
    {
      const SafetensorsFile file(folder_ / "model.safetensors");
      for (const StoredTensor& t : file.tensors())
        tensors.push_back({.name = t.name, .tensor = t.load(cpu(), DType::kF32)});
    }
    change(tensors);
    write_safetensors(folder_ / "model.safetensors", tensors);
  }

  TemporaryFolder folder_;
  OrderedJson config_;
};

TEST_F(BrokenFolder, MissingKeys) {
  for (const std::string kind : {"mla_q_lora", "qwen3_moe"}) {
    write(kind);
    for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                            "num_attention_heads", "moe_intermediate_size"}) {
      OrderedJson changed = config_;
      changed.erase(key);
      write_file(folder_ / "config.json", changed.dump());
      refused(ErrorKind::kInput, "config.json", key);
    }
  }
}

TEST_F(BrokenFolder, SizesOfZeroAndBeyondReason) {
  for (const std::string kind : {"mla_q_lora", "qwen3_moe"}) {
    write(kind);
    const OrderedJson good = config_;
    for (const auto& [key, value] : good.items()) {
      if (!value.is_number_integer() || key.ends_with("token_id") || key == "first_k_dense_replace") continue;
      if (kind == "mla_q_lora" && key == "num_key_value_heads") continue;  // not read
      const bool zero = key == "q_lora_rank" || key == "n_shared_experts" || key == "num_nextn_predict_layers" ||
                        key == "num_experts" || key == "n_routed_experts";        // may be 0
      const bool step = key == "moe_layer_freq" || key == "decoder_sparse_step";  // may be large
      for (const OrderedJson& bad : {OrderedJson(1e300), OrderedJson(0.5), OrderedJson("4"), OrderedJson::array({4})})
        refused_config(key, bad);
      for (const int64_t bad : {int64_t(1) << 40, int64_t(-1), -(int64_t(1) << 32) + 2}) {
        if (step && bad > 0) continue;
        const bool mtp = key == "num_nextn_predict_layers";
        refused_config(key, bad, mtp ? ErrorKind::kUnsupported : ErrorKind::kInput);
      }
      if (!zero) refused_config(key, 0);
    }
  }
}

TEST_F(BrokenFolder, ThingsThatCannotBe) {
  write("mla_groups");
  refused_config("num_experts_per_tok", 9);
  refused_config("num_experts_per_tok", 5);  // two groups of two are kept
  refused_config("qk_rope_head_dim", 5);
  refused_config("n_group", 3);
  refused_config("topk_group", 5);
  refused_config("rms_norm_eps", 0);
  refused_config("rms_norm_eps", "small");
  refused_config("rope_theta", -1);
  refused_config("tie_word_embeddings", 1);
  refused_config("hidden_act", "gelu", ErrorKind::kUnsupported);
  refused_config("model_type", "mamba", ErrorKind::kUnsupported);
  refused_config("topk_method", "best", ErrorKind::kUnsupported);
  refused_config("quantization_config", {{"quant_method", "fp8"}}, ErrorKind::kUnsupported);
  refused_config("rope_scaling", 3);
  refused_config("rope_scaling", {{"rope_type", "longrope"}}, ErrorKind::kUnsupported);
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, double>>{{"factor", 0.5},
                                                   {"factor", 1e9},
                                                   {"beta_fast", 0},
                                                   {"beta_slow", -1},
                                                   {"mscale", 1e30},
                                                   {"mscale_all_dim", -1e30},
                                                   {"attention_factor", -1},
                                                   {"original_max_position_embeddings", 0}}) {
    OrderedJson scaling = {{"rope_type", "yarn"}, {"factor", 4}};
    scaling[key] = value;
    EXPECT_NE(refused_config("rope_scaling", scaling).find(key), std::string::npos) << key;
  }
  write("qwen3_moe");
  refused_config("num_experts_per_tok", 9);
  refused_config("head_dim", 11);
  refused_config("num_key_value_heads", 3);
  refused_config("mlp_only_layers", {0.5});
  for (const auto& [low, high] : {std::pair{4.0, 4.0}, {0.0, 4.0}, {1.0, 1e300}}) {
    refused_config("rope_scaling", {{"rope_type", "llama3"}, {"low_freq_factor", low}, {"high_freq_factor", high}});
  }
}

TEST_F(BrokenFolder, TextThatIsNoConfig) {
  write("gqa");
  const std::string good = config_.dump();
  for (const std::string text :
       {"", "{", "[]", "null", "{\"vocab_size\": NaN}", "{\"vocab_size\": 1e999}", "{\"a\": Infinity}", "\xff\xfe{}"}) {
    write_file(folder_ / "config.json", text);
    error_of(ErrorKind::kInput, [&] { load_model(folder_.path(), cpu(), DType::kF32); });
  }
  const size_t at = good.find("\"rms_norm_eps\":") + 15;
  write_file(folder_ / "config.json", good.substr(0, at) + "NaN" + good.substr(good.find(',', at)));
  refused(ErrorKind::kInput, "config.json", "");
  std::filesystem::remove(folder_ / "config.json");
  error_of(ErrorKind::kIo, [&] { load_model(folder_.path(), cpu(), DType::kF32); });
  error_of(ErrorKind::kInput, [&] { load_model(folder_ / "nowhere", cpu(), DType::kF32); });
}

TEST_F(BrokenFolder, ConfigAndWeightsThatDoNotFit) {
  write("mla_q_lora");
  // A vocabulary of another size, fewer or more layers, other widths: the tensor is named.
  const auto other = [&](const char* key, int64_t value, const char* place, const char* file) {
    OrderedJson changed = config_;
    changed[key] = value;
    write_file(folder_ / "config.json", changed.dump());
    refused(ErrorKind::kInput, file, place);
  };
  other("vocab_size", 41, "model.embed_tokens.weight", "model.safetensors");
  other("vocab_size", 39, "model.embed_tokens.weight", "model.safetensors");
  other("num_hidden_layers", 3, "model.layers.2.", "model.safetensors");
  other("n_routed_experts", 7, "gate.weight", "model.safetensors");
  other("n_shared_experts", 2, "shared_experts", "model.safetensors");
  other("first_k_dense_replace", 0, "model.layers.0.mlp", "model.safetensors");
  other("kv_lora_rank", 21, "kv_a", "model.safetensors");
  // More than the files can hold: refused before any memory is taken.
  other("vocab_size", 1 << 24, "parameters", "config.json");
  other("moe_intermediate_size", 1 << 20, "parameters", "config.json");
}

TEST_F(BrokenFolder, WeightsThatAreNotRight) {
  const std::string file = "model.safetensors", name = "model.layers.1.mlp.experts.3.down_proj.weight";
  const auto find = [&](std::vector<TensorToWrite>& tensors) {
    return std::find_if(tensors.begin(), tensors.end(), [&](const TensorToWrite& t) { return t.name == name; });
  };
  write("qwen3_moe");
  rewrite([&](auto& tensors) { tensors.erase(find(tensors)); });
  refused(ErrorKind::kInput, file, name);
  write("qwen3_moe");
  rewrite([&](auto& tensors) {
    tensors.push_back(*find(tensors));
    tensors.back().name = "model.layers.1.mlp.experts.8.down_proj.weight";
  });
  refused(ErrorKind::kInput, file, "model.layers.1.mlp.experts.8.down_proj.weight");
  write("qwen3_moe");
  rewrite([&](auto& tensors) {
    find(tensors)->tensor = Tensor::make(cpu(), DType::kF32, {16, 32});  // transposed
    cpu().fill(find(tensors)->tensor, 1);
  });
  const std::string text = refused(ErrorKind::kInput, file, name);
  EXPECT_NE(text.find("16"), std::string::npos) << text;
  write("qwen3_moe");
  const std::string whole = read_file(folder_ / file);
  for (const size_t kept : {size_t(0), size_t(7), size_t(8), size_t(100), whole.size() / 2, whole.size() - 1}) {
    write_file(folder_ / file, whole.substr(0, kept));
    refused(ErrorKind::kInput, file, "");
  }
  std::filesystem::remove(folder_ / file);
  error_of(ErrorKind::kInput, [&] { load_model(folder_.path(), cpu(), DType::kF32); });
}

}  // namespace
}  // namespace tenth::testing
