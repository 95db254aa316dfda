// Models that only run: matrices in one form give what the trainable model gives.
#include "nn/golden_models.h"

namespace tenth::testing {
namespace {

ComputeType frozen(DType type, bool keep_blocks) {
  ComputeType compute = type;
  compute.frozen = true;
  compute.keep_blocks = keep_blocks;
  return compute;
}

Values logits_of(const Path& model_path, Backend& backend, const ComputeType& compute,
                 const std::vector<int32_t>& ids) {
  const auto model = load_model(model_path, backend, compute);
  NoGrad off;
  Pass pass;
  const std::vector<int32_t> lengths = {int32_t(ids.size())};
  pass.batch = make_batch(backend, ids, lengths);
  return values_of(model->logits(model->hidden(pass)).value());
}

const std::vector<int32_t> kIds = {3, 17, 0, 41, 5, 5, 90, 12, 33, 7};

TEST(Frozen, GivesTheSameBits) {
  TENTH_NEEDS_SHARED();
  for (const char* name : {"deepseek_v3_mtp", "llama", "qwen2", "qwen3_moe", "deepseek_v3_fp8"})
    for (DType type : {DType::kF32, DType::kBF16})
      for (const char* backend : {"cpu", "reference"}) {
        SCOPED_TRACE(fmt::format("{} {} {}", name, name_of(type), backend));
        const Path folder = golden_models() / name;
        EXPECT_EQ(logits_of(folder, get_backend(backend), frozen(type, true), kIds),
                  logits_of(folder, get_backend(backend), type, kIds));
      }
}

// 8-bit weights as they lie, activations rounded to 8 bits. X.
TEST(Frozen, BlocksOfFewBitsStayCloseToTheirFloats) {
  TENTH_NEEDS_SHARED();
  for (const char* name : {"llama-Q8_0.gguf", "deepseek2_lite-Q8_0.gguf", "deepseek2_v3-Q8_0.gguf"}) {
    SCOPED_TRACE(name);
    const Path file = shared_folder() / "golden" / "gguf" / name;
    const Values expanded = logits_of(file, get_backend("cpu"), frozen(DType::kF32, false), kIds);
    const Values blocks = logits_of(file, get_backend("cpu"), frozen(DType::kF32, true), kIds);
    EXPECT_LE(relative_distance(blocks, expanded), 0.03);
    EXPECT_NE(blocks, expanded);
    // Sums in another order make other codes at ties; a code is 1/254 of the largest of 32. Measured 0.005.
    EXPECT_LE(relative_distance(blocks, logits_of(file, get_backend("reference"), frozen(DType::kF32, true), kIds)),
              0.01);
  }
}

TEST(Frozen, HoldsNoMatrixTwice) {
  TENTH_NEEDS_SHARED();
  const auto model = load_model(golden_models() / "deepseek_v3_mtp", get_backend("cpu"), frozen(DType::kBF16, true));
  for (const Parameter& parameter : model->parameters()) {
    if (parameter.role != Parameter::Role::kMatrix) continue;
    const Weight& weight = *parameter.weight;
    EXPECT_FALSE(weight.value) << parameter.name;
    EXPECT_TRUE(weight.packed) << parameter.name;
    EXPECT_EQ(weight.compute.defined(), weight.rows_read) << parameter.name;
  }
}

}  // namespace
}  // namespace tenth::testing
