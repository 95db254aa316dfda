// The gradient of a whole model against finite differences, in f64 on the reference backend: main, multi-token
// prediction and balance losses together.
#include "nn/golden_models.h"
#include "nn/tiny_models.h"
#include "train/loss.h"

namespace tenth::testing {
namespace {

constexpr LossSettings kSettings{.mtp_weight = 0.3, .balance_weight = 0.05};

// The number whose gradient loss_and_gradients makes: L_main + 0.3 L_mtp + 0.05 sum over mixtures of the balance loss.
double total_loss(Transformer& model, const Examples& examples) {
  LossSettings settings = kSettings;
  if (!model.has_mtp()) settings.mtp_weight = 0;
  const LossResult r = loss_and_gradients(model, examples, settings);
  return r.loss + settings.mtp_weight * r.mtp_loss +
         settings.balance_weight * r.balance_loss * double(model.mixtures().size());
}

// For each parameter, the derivative along a random direction of signs, which no wrong entry escapes, and by one entry.
void check_gradients(Transformer& model, const Examples& examples) {
  model.set_training(true);
  total_loss(model, examples);
  std::vector<Values> gradients;
  for (const Parameter& p : model.parameters()) gradients.push_back(p.grad() ? values_of(p.grad()) : Values());
  Rng rng(11);
  constexpr double kStep = 1e-6;
  for (size_t i = 0; i < gradients.size(); i++) {
    const Parameter& p = model.parameters()[i];
    if (p.role == Parameter::Role::kBuffer) {
      EXPECT_TRUE(gradients[i].empty()) << p.name;
      continue;
    }
    const Values before = values_of(p.value()), &g = gradients[i];
    Values signs(g.size()), entry(g.size(), 0);
    for (double& sign : signs) sign = rng.chance(0.5) ? 1 : -1;
    entry[rng.below(entry.size())] = 1;
    for (const Values& direction : {signs, entry}) {
      double analytic = 0, size = 0;
      const auto loss_at = [&](double step) {
        Values moved = before;
        for (size_t j = 0; j < moved.size(); j++) moved[j] += step * direction[j];
        set_values(p.value(), moved);
        p.weight->refresh();
        return total_loss(model, examples);
      };
      for (size_t j = 0; j < g.size(); j++) {
        analytic += g[j] * direction[j];
        size += std::fabs(g[j] * direction[j]);
      }
      const double numeric = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
      EXPECT_NEAR(numeric, analytic, 1e-6 * size + 1e-8) << p.name;
    }
    set_values(p.value(), before);
    p.weight->refresh();
  }
}

Examples examples_for(const Transformer& model) {
  Rng rng(5);
  Examples examples;  // two sequences; the first with an unscored prompt
  examples.add(random_ids(rng, 7, model.config().vocab_size), 3);
  examples.add(random_ids(rng, 5, model.config().vocab_size), 0);
  return examples;
}

class GradientOfGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(GradientOfGolden, EqualsFiniteDifferences) {
  TENTH_NEEDS_SHARED();
  const auto model = GoldenModel(GetParam()).load(get_backend("reference"), DType::kF64);
  check_gradients(*model, examples_for(*model));
}

INSTANTIATE_TEST_SUITE_P(Models, GradientOfGolden, ::testing::Values("deepseek_v3_mtp", "qwen3_moe"),
                         [](const auto& info) { return info.param; });

class GradientOfTiny : public ::testing::TestWithParam<std::string> {};

TEST_P(GradientOfTiny, EqualsFiniteDifferences) {
  const auto model = tiny_model(GetParam(), get_backend("reference"), DType::kF64);
  check_gradients(*model, examples_for(*model));
}

INSTANTIATE_TEST_SUITE_P(Models, GradientOfTiny, ::testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tenth::testing
