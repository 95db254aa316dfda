// Recompute changes memory, not a bit of the losses and gradients.
#include "nn/tiny_models.h"
#include "train/loss.h"

namespace tenth::testing {
namespace {

struct Result {
  LossResult loss;
  std::vector<Values> gradients;
  size_t peak;
};

Result train_twice(const std::string& kind, Backend& backend, ComputeType compute, bool recompute) {
  const ModelConfig config = tiny_config(kind);
  Transformer model(config, backend, compute);
  initialize(model, 1, 0.5);
  model.set_training(true);
  Rng rng(3);
  const std::vector<int32_t> lengths = {19, 1, 28};
  const Examples examples = all_tokens_scored(random_ids(rng, 48, config.vocab_size), lengths);
  const LossSettings settings{.mtp_weight = model.has_mtp() ? 0.3 : 0,
                              .balance_weight = config.n_routed_experts > 0 ? 0.01 : 0,
                              .recompute = recompute};
  backend.reset_peak();
  const size_t before = backend.pool_statistics().bytes_in_use;
  Result result;
  for (int batch = 0; batch < 2; batch++) result.loss = loss_and_gradients(model, examples, settings);
  result.peak = backend.pool_statistics().peak_bytes_in_use - before;
  for (const Parameter& p : model.parameters()) result.gradients.push_back(p.grad() ? values_of(p.grad()) : Values());
  return result;
}

void expect_the_same(const std::string& kind, Backend& backend, ComputeType compute) {
  const Result plain = train_twice(kind, backend, compute, false), again = train_twice(kind, backend, compute, true);
  EXPECT_EQ(again.loss.loss, plain.loss.loss);
  EXPECT_EQ(again.loss.mtp_loss, plain.loss.mtp_loss);
  EXPECT_EQ(again.loss.balance_loss, plain.loss.balance_loss);
  ASSERT_EQ(again.gradients.size(), plain.gradients.size());
  for (size_t i = 0; i < plain.gradients.size(); i++)
    expect_same_bits(again.gradients[i], plain.gradients[i], std::to_string(i));
  EXPECT_LE(again.peak, plain.peak);
  if (tiny_config(kind).n_routed_experts > 0) {
    EXPECT_LT(again.peak, plain.peak);
  }
}

TEST(Recompute, LossesAndGradientsAreTheSameBits) {
  for (const std::string& kind : kTinyModels) {
    SCOPED_TRACE(kind);
    expect_the_same(kind, get_backend("cpu"), DType::kF32);
    expect_the_same(kind, get_backend("cpu"), DType::kBF16);
    expect_the_same(kind, get_backend("cpu"), {DType::kBF16, Fp8Scale::kUe8m0});
  }
  expect_the_same("mla_mtp", get_backend("reference"), DType::kF64);
  expect_the_same("gqa", get_backend("reference"), DType::kF64);
}

}  // namespace
}  // namespace tenth::testing
