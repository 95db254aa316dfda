// GGUF files as models: what the metadata must say, what the tensors must be, and that nothing is taken on trust.
#include <gmock/gmock.h>

#include "checkpoint/export_gguf.h"
#include "checkpoint/model_folder.h"
#include "nn/golden_models.h"
#include "safetensors_files.h"

namespace tenth::testing {
namespace {

using ::testing::HasSubstr;

// A fixture's file, with changes.
class BrokenGguf : public ::testing::Test {
 protected:
  void SetUp() override {
    TENTH_NEEDS_SHARED();
    read("deepseek2_v3-F32.gguf");
  }

  void read(const char* name) {
    file_.emplace(GgufFile::open(shared_folder() / "golden" / "gguf" / name));
    entries_.clear();
    tensors_.clear();
    for (const auto& [key, value] : file_->metadata().values()) entries_[std::string(key)] = {std::string(key), value};
    for (const GgufTensor* t : file_->tensors())
      tensors_[std::string(t->name)] = {std::string(t->name), t->type, t->shape,
                                        [bytes = t->bytes](const ByteSink& sink) { sink(bytes); }};
  }

  template <class T>
  void set(const std::string& key, T value) {
    entries_[key] = {key, value};
  }

  // The error of loading the file as it is now; then it is whole again.
  void refused(ErrorKind kind, const char* what) {
    write();
    const Path path = folder_ / "m.gguf";
    EXPECT_THAT(error_of(kind, [&] { load_model(path, get_backend("cpu"), DType::kF32); }),
                ::testing::AllOf(HasSubstr(what), HasSubstr(path.string())));
    read("deepseek2_v3-F32.gguf");
  }
  void write() {
    std::vector<GgufEntry> entries;
    std::vector<GgufTensorToWrite> tensors;
    for (const auto& one : entries_) entries.push_back(one.second);
    for (const auto& one : tensors_) tensors.push_back(one.second);
    write_gguf(folder_ / "m.gguf", entries, tensors);
  }

  TemporaryFolder folder_;
  std::optional<GgufFile> file_;
  std::map<std::string, GgufEntry> entries_;
  std::map<std::string, GgufTensorToWrite> tensors_;
};

TEST_F(BrokenGguf, IsWholeWithoutChanges) {
  if (!file_) GTEST_SKIP();
  write();
  load_model(folder_ / "m.gguf", get_backend("cpu"), DType::kF32);
}

TEST_F(BrokenGguf, Metadata) {
  if (!file_) GTEST_SKIP();
  set("general.architecture", std::string("mamba"));
  refused(ErrorKind::kUnsupported, "expected one of deepseek2, llama, qwen2, qwen3, qwen3moe, got mamba");
  for (const char* key : {"deepseek2.block_count", "deepseek2.attention.head_count", "deepseek2.embedding_length",
                          "deepseek2.attention.kv_lora_rank", "deepseek2.context_length",
                          "deepseek2.attention.layer_norm_rms_epsilon", "deepseek2.rope.dimension_count"}) {
    entries_.erase(key);
    refused(ErrorKind::kInput, key);
    set(key, std::string("four"));
    refused(ErrorKind::kInput, key);
  }
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"deepseek2.block_count", 4'000'000'000},
                                                                  {"deepseek2.block_count", 0},
                                                                  {"deepseek2.embedding_length", 1 << 30},
                                                                  {"deepseek2.expert_count", 1 << 30},
                                                                  {"deepseek2.expert_used_count", 100},
                                                                  {"deepseek2.context_length", 0},
                                                                  {"deepseek2.attention.head_count", 0},
                                                                  {"deepseek2.rope.dimension_count", 10000}}) {
    set(key, value);
    refused(ErrorKind::kInput, "");
  }
  set("deepseek2.expert_gating_func", uint32_t(3));
  refused(ErrorKind::kUnsupported, "deepseek2.expert_gating_func: expected 1 (softmax) or 2 (sigmoid), got 3");
  set("deepseek2.rope.scaling.type", std::string("longrope"));
  refused(ErrorKind::kUnsupported, "rope.scaling.type: expected none or yarn, got longrope");
  set("deepseek2.attention.layer_norm_rms_epsilon", NAN);
  refused(ErrorKind::kInput, "finite");
  // More than the file holds: refused before memory is taken.
  set("deepseek2.block_count", uint32_t(1000));
  refused(ErrorKind::kInput, "parameters, the weight files hold only");
}

TEST_F(BrokenGguf, Tensors) {
  if (!file_) GTEST_SKIP();
  tensors_.erase("blk.1.attn_q_a.weight");
  refused(ErrorKind::kInput, "model.layers.1.self_attn.q_a_proj.weight (blk.1.attn_q_a.weight)");
  tensors_.erase("blk.1.attn_v_b.weight");
  refused(ErrorKind::kInput, "blk.1.attn_v_b.weight");
  tensors_["blk.1.attn_k_b.weight"].shape = {128, 32};
  refused(ErrorKind::kInput, "(heads, latent, nope)");
  for (const char* half : {"blk.1.attn_k_b.weight", "blk.1.attn_v_b.weight"}) {  // half the heads, twice as wide
    auto& shape = tensors_[half].shape;
    const size_t width = half[11] == 'k' ? 2 : 1;
    shape[0] /= 2, shape[width] *= 2;
  }
  refused(ErrorKind::kInput, "expected 4 heads of");
  tensors_["blk.1.ffn_up_exps.weight"].shape = {4, 64, 32};
  refused(ErrorKind::kInput, "expected a stack (8, rows, columns)");
  tensors_["blk.1.ffn_up_exps.weight"].shape = {8, 16, 64};
  refused(ErrorKind::kInput, "model.layers.1.mlp.experts.0.up_proj.weight: expected shape (32, 32), got (16, 64)");
  tensors_["token_embd.weight"].shape = {320, 4, 8};
  refused(ErrorKind::kInput, "token_embd.weight: expected a matrix");
  tensors_["more"] = tensors_["output_norm.weight"];
  tensors_["more"].name = "blk.1.attn_output.bias";
  refused(ErrorKind::kInput, "blk.1.attn_output.bias: not a part of a deepseek_v3 model");
  tensors_["rope_freqs.weight"] = tensors_["output_norm.weight"];
  tensors_["rope_freqs.weight"].name = "rope_freqs.weight";
  refused(ErrorKind::kInput, "rope_freqs.weight: expected 8 numbers");
}

TEST(GgufModel, AFileOfAnotherKind) {
  TemporaryFolder folder;
  write_file(folder / "a.gguf", "no model at all");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { WeightSource::open(folder / "a.gguf"); }),
              HasSubstr("magic: expected GGUF, got no m"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { WeightSource::open(folder / "b.gguf"); }), HasSubstr("nothing there"));
}

// An older form: kv_b whole, sizes of heads under the plain keys.
TEST(GgufModel, OldFilesOfDeepSeekHaveOneKvB) {
  TENTH_NEEDS_SHARED();
  const Path split = shared_folder() / "golden/gguf/deepseek2_v3-F32.gguf";
  const GgufFile file = GgufFile::open(split);
  const WeightSource source = WeightSource::open(split);
  const ModelConfig& c = source.config();
  std::vector<GgufEntry> entries;
  for (const auto& [key, value] : file.metadata().values()) {
    if (key.ends_with("_mla") || key.ends_with("head_count_kv")) continue;
    if (key.ends_with("key_length"))
      entries.push_back({std::string(key), uint32_t(c.query_dim())});
    else if (key.ends_with("value_length"))
      entries.push_back({std::string(key), uint32_t(c.v_head_dim)});
    else
      entries.push_back({std::string(key), value});
  }
  std::vector<GgufTensorToWrite> tensors;
  for (const GgufTensor* t : file.tensors()) {
    const std::string name(t->name);
    if (name.ends_with("attn_v_b.weight")) continue;
    if (!name.ends_with("attn_k_b.weight")) {
      tensors.push_back({name, t->type, t->shape, [t](const ByteSink& sink) { sink(t->bytes); }});
      continue;
    }
    const SourceTensor& whole = source.at(fmt::format("model.layers.{}.self_attn.kv_b_proj.weight", name[4]));
    tensors.push_back({fmt::format("blk.{}.attn_kv_b.weight", name[4]), t->type, whole.shape,
                       [&whole, t](const ByteSink& sink) { stream_rows(rows_of(whole), *t->type, "kv_b", sink); }});
  }
  TemporaryFolder folder;
  write_gguf(folder / "old.gguf", entries, tensors);
  const auto old = load_model(folder / "old.gguf", get_backend("cpu"), DType::kF32);
  const auto now = load_model(split, get_backend("cpu"), DType::kF32);
  for (size_t i = 0; i < now->parameters().size(); i++)
    EXPECT_EQ(values_of(old->parameters()[i].value()), values_of(now->parameters()[i].value()))
        << now->parameters()[i].name;
}

}  // namespace
}  // namespace tenth::testing
