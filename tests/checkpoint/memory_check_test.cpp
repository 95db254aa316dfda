// What models take of memory, beside what they do take; and the refusal of those that do not fit.
#include "checkpoint/memory_check.h"

#include <gmock/gmock.h>

#include "checkpoint/export_gguf.h"
#include "checkpoint/frozen_weights.h"
#include "nn/golden_models.h"
#include "nn/tiny_models.h"
#include "safetensors_files.h"

namespace tenth::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ComputeType frozen(DType type, bool keep_blocks) {
  ComputeType compute = type;
  compute.frozen = true;
  compute.keep_blocks = keep_blocks;
  return compute;
}

// Of the tensors that a loaded model holds. With packed matrices, those that kernels fill up.
int64_t held_bytes(Transformer& model) {
  std::set<const Weight*> seen;
  int64_t bytes = 0;
  for (const Parameter& parameter : model.parameters()) {
    const Weight& w = *parameter.weight;
    if (!seen.insert(&w).second) continue;
    if (w.value) bytes += int64_t(w.value.bytes());
    if (w.compute && !(w.value && w.compute.same_storage(w.value))) bytes += int64_t(w.compute.bytes());
    if (w.packed) bytes += int64_t(w.packed.bytes());
    for (const BlockWeight& blocks : {w.blocks, w.absorbed_keys, w.absorbed_values})
      bytes += blocks ? blocks.bytes() : 0;
  }
  return bytes;
}

int64_t predicted_bytes(const Path& path, DType type, bool keep_blocks) {
  const WeightSource source = WeightSource::open(path);
  Transformer model(source.config(), get_backend("cpu"), frozen(type, keep_blocks));
  return frozen_weight_bytes(model, source, {type, keep_blocks, {}});
}

TEST(MemoryCheck, PredictsWhatWeightsTake) {
  TENTH_NEEDS_SHARED();
  for (const char* name : {"llama-Q8_0.gguf", "deepseek2_v3-Q8_0.gguf", "llama-F32.gguf"}) {
    const Path file = shared_folder() / "golden" / "gguf" / name;
    const auto model = load_model(file, get_backend("cpu"), frozen(DType::kF32, true));
    const double predicted = double(predicted_bytes(file, DType::kF32, true)), held = double(held_bytes(*model));
    EXPECT_LE(predicted, held) << name;
    EXPECT_GE(predicted, 0.7 * held) << name << ": panels of small matrices are filled up";
  }
}

// Rows of 256, so that every format has whole blocks; heads of 64, so that panels are full.
class WideModel : public ::testing::Test {
 protected:
  void SetUp() override {
    ModelConfig c = tiny_config("gqa");
    c.vocab_size = 512;
    c.hidden_size = c.intermediate_size = 256;
    c.head_dim = 64;
    Transformer model(c, get_backend("cpu"), DType::kF32);
    initialize(model, 1, 0.5);
    std::filesystem::create_directories(path_);
    save_model(path_, model, DType::kBF16);
  }
  std::string refusal(const ComputeType& compute, int64_t available) const {
    return error_of(ErrorKind::kInput, [&] { load_model(path_, get_backend("cpu"), compute, available); });
  }
  int64_t need(const Path& path, DType type, bool keep_blocks) const {
    const bool blocks = keep_blocks && path.extension() == ".gguf";  // their cache is in bf16
    return predicted_bytes(path, type, keep_blocks) +
           cache_bytes(read_model_config(path), blocks ? DType::kBF16 : type, 512);
  }

  TemporaryFolder folder_;
  const Path path_ = folder_ / "wide";
};

TEST_F(WideModel, IsRefusedByOneByteTooFew) {
  for (const DType type : {DType::kF32, DType::kBF16}) {
    const int64_t bytes = need(path_, type, true);
    EXPECT_NE(load_model(path_, get_backend("cpu"), frozen(type, true), bytes), nullptr);
    const std::string text = refusal(frozen(type, true), bytes - 1);
    EXPECT_THAT(text, HasSubstr("wide: needs "));
    EXPECT_THAT(text, HasSubstr(" for a cache of 512 tokens), "));
  }
  EXPECT_THAT(refusal(DType::kF32, 1000), HasSubstr("parameters that can be trained (8 bytes each), 1kB are"));
}

TEST_F(WideModel, NamesTheSmallestChangeThatFits) {
  const WeightSource source = WeightSource::open(path_);
  const int64_t bf16 = need(path_, DType::kBF16, true);
  EXPECT_THAT(refusal(frozen(DType::kF32, true), bf16), HasSubstr("with --dtype bf16 it would need "));
  int64_t smallest = 0;
  for (const auto& [type, name] :
       std::vector<std::pair<std::string, std::string>>{{"Q8_0", "q8_0"}, {"Q4_K", "q4_k"}, {"Q4_0", "q4_0"}}) {
    // What the advice leads to fits, and is what it says.
    export_gguf(source, folder_ / (name + ".gguf"), {.type = type, .name = "m"});
    smallest = need(folder_ / (name + ".gguf"), DType::kF32, true);
    const auto model = load_model(folder_ / (name + ".gguf"), get_backend("cpu"), frozen(DType::kF32, true), smallest);
    EXPECT_NEAR(double(held_bytes(*model)), double(smallest - cache_bytes(model->config(), DType::kBF16, 512)),
                0.02 * double(smallest));
    EXPECT_THAT(refusal(frozen(DType::kBF16, true), smallest), HasSubstr("wide --to " + name + " --out"));
  }
  const std::string hopeless = refusal(frozen(DType::kBF16, true), 1000);
  EXPECT_THAT(hopeless, HasSubstr("in 4 bits it would need "));
  EXPECT_THAT(hopeless, Not(HasSubstr("quantize")));
  EXPECT_THAT(
      error_of(ErrorKind::kInput,
               [&] { load_model(folder_ / "q4_0.gguf", get_backend("cpu"), frozen(DType::kF32, false), smallest); }),
      HasSubstr("with --dtype auto it would need "));
}

}  // namespace
}  // namespace tenth::testing
