// Muon's variants, NorMuon, cautious decay and the mean of the weights, each against its formula.
#include "optim/row_norms.h"
#include "optim_util.h"

namespace tenth {
namespace {

using testing::named;
using testing::Values;
using testing::values_of;
using Kind = OptimizerOptions::Kind;

class Variants : public testing::OnBackend {
 protected:
  Tensor tensor(Shape shape, const Values& values) { return testing::tensor_of(backend(), DType::kF32, shape, values); }
  Tensor random(Shape shape, uint64_t seed) {
    Rng rng(seed);
    return testing::random_tensor(backend(), DType::kF32, shape, rng);
  }
  // What becomes of the singular values (s, sqrt(1 - s^2)) of a matrix of norm 1: the first of them.
  double after(MuonVariant variant, double s) {
    MuonWorkspace workspace(backend(), DType::kF32, 4, 4, DType::kF32);
    const Tensor x = workspace.x.view({2, 2});
    testing::set_values(x, {s, 0, 0, std::sqrt(1 - s * s)});
    return testing::read(newton_schulz(backend(), x, workspace, variant), 0);
  }
};

// The table of ../shared/reference/training.md, section 2.
TEST_P(Variants, NewtonSchulzMovesSingularValuesAsPublished) {
  for (double s : {0.003, 0.01, 0.1, 0.5, 0.9}) EXPECT_NEAR(after(MuonVariant::kV4, s), 1, 1e-3) << s;
  const std::vector<std::pair<double, double>> table = {{0.001, 0.85}, {0.01, 0.997}, {0.1, 1.02}, {0.5, 1.09}};
  for (const auto& [before, want] : table)
    EXPECT_NEAR(after(MuonVariant::kPolarExpress, before), want, 0.006) << before;
  EXPECT_NEAR(after(MuonVariant::kKeller, 0.001), 0.47, 0.006);
}

// All singular values of a random matrix become 1: O O^T = I.
TEST_P(Variants, TheHybridIsOrthogonal) {
  const Tensor g = random({6, 10}, 1), product = Tensor::make(backend(), DType::kF32, {6, 6});
  MuonWorkspace workspace(backend(), DType::kF32, 60, 36, DType::kF32);
  const Tensor x = workspace.x.view({6, 10});
  backend().copy(x, g);
  const Tensor o = newton_schulz(backend(), x, workspace, MuonVariant::kV4);
  backend().matmul(product, o, false, o, true, {});
  for (int64_t i = 0; i < 36; i++) EXPECT_NEAR(testing::read(product, i), i % 7 == 0, 2e-3) << i;
}

// Products in bf16 leave the result where it is, within their digits.
TEST_P(Variants, ProductsInBf16MakeTheSameMatrix) {
  for (const Shape shape : {Shape{40, 70}, Shape{70, 40}, Shape{33, 33}}) {
    const Tensor g = random(shape, 1);
    std::vector<Values> results;
    for (const DType products : {DType::kF32, DType::kBF16}) {
      MuonWorkspace workspace(backend(), DType::kF32, shape.count(), 40 * 40, products);
      const Tensor x = workspace.x.slice(0, 0, shape.count()).view(shape);
      backend().copy(x, g);
      results.push_back(values_of(newton_schulz(backend(), x, workspace)));
    }
    double error = 0, size = 0;
    for (size_t i = 0; i < results[0].size(); i++) {
      error += std::pow(results[1][i] - results[0][i], 2);
      size += std::pow(results[0][i], 2);
    }
    EXPECT_LT(std::sqrt(error / size), 0.03) << shape.text();
  }
}

// Twice by hand: v_i = b v_i + (1 - b) mean_j o_ij^2, o_i / sqrt(v_i), and the norm of before.
TEST_P(Variants, RowsAreEvenedOut) {
  constexpr double kBeta = 0.9;
  const Tensor second = testing::full(backend(), DType::kF32, {3}, 0);
  Values moments(3, 0);
  for (uint64_t step = 1; step <= 2; step++) {
    const Tensor o = random({3, 5}, step);
    Values want = values_of(o);
    for (size_t j = 0; j < 5; j++) want[j] *= 10;  // a loud row
    testing::set_values(o, want);
    double before = 0, after = 0;
    for (size_t i = 0; i < 3; i++) {
      double squares = 0;
      for (size_t j = 0; j < 5; j++) squares += want[i * 5 + j] * want[i * 5 + j];
      moments[i] = kBeta * moments[i] + (1 - kBeta) * squares / 5;
      before += squares;
      for (size_t j = 0; j < 5; j++) want[i * 5 + j] /= std::sqrt(moments[i]);
      after += squares / moments[i];
    }
    for (double& w : want) w *= std::sqrt(before / after);
    normalize_rows(backend(), o, second, kBeta);
    testing::expect_close(values_of(o), want, 1e-5, 1e-6, "rows");
    testing::expect_close(values_of(second), moments, 1e-5, 0, "moments");
  }
  const Tensor nothing = testing::full(backend(), DType::kF32, {3, 5}, 0);
  normalize_rows(backend(), nothing, testing::full(backend(), DType::kF32, {3}, 0), kBeta);
  EXPECT_EQ(values_of(nothing), Values(15, 0));
}

TEST_P(Variants, NorMuonKeepsTheSizeOfTheUpdate) {
  ParameterList plain = testing::small_model(backend()), evened = testing::small_model(backend());
  const Values before = values_of(named(plain, "q_proj.weight").value());
  Optimizer one(plain.parameters(), {}), other(evened.parameters(), {.normalize_rows = true});
  one.step();
  other.step();
  const auto size = [&](ParameterList& list) {
    const Values now = values_of(named(list, "q_proj.weight").value());
    double squares = 0;
    for (size_t i = 0; i < now.size(); i++) squares += (now[i] - before[i]) * (now[i] - before[i]);
    return std::sqrt(squares);
  };
  EXPECT_NEAR(size(plain), size(evened), 1e-4 * size(plain));
  EXPECT_NE(values_of(named(plain, "q_proj.weight").value()), values_of(named(evened, "q_proj.weight").value()));
  bool found = false;
  for (const auto& [name, state] : other.state())
    if (name == "experts.2.up_proj.weight.row_second") {
      found = true;
      EXPECT_EQ(state.shape(), Shape({16}));
      EXPECT_GT(testing::read(state, 0), 0);
    }
  EXPECT_TRUE(found);
}

// Decay reaches exactly the weights whose sign is that of the update which is taken from them.
TEST_P(Variants, CautiousDecaySparesWhatTheUpdateEnlarges) {
  for (Kind kind : {Kind::kMuon, Kind::kAdamW}) {
    ParameterList none = testing::small_model(backend()), all = testing::small_model(backend()),
                  some = testing::small_model(backend());
    const OptimizerOptions base = {.kind = kind, .lr = 0.1, .adam_lr = 0.1};
    OptimizerOptions decayed = base, cautious = base;
    decayed.weight_decay = cautious.weight_decay = 0.5;
    cautious.cautious_decay = true;
    const Values start = values_of(named(none, "q_proj.weight").value());
    Optimizer(none.parameters(), base).step();
    Optimizer(all.parameters(), decayed).step();
    Optimizer(some.parameters(), cautious).step();
    const Values without = values_of(named(none, "q_proj.weight").value()),
                 with = values_of(named(all, "q_proj.weight").value()),
                 got = values_of(named(some, "q_proj.weight").value());
    size_t spared = 0;
    for (size_t i = 0; i < got.size(); i++) {
      const bool aligned = (start[i] - without[i]) * start[i] >= 0;
      spared += !aligned;
      ASSERT_NEAR(got[i], aligned ? with[i] : without[i], 1e-6) << i;
    }
    EXPECT_GT(spared, got.size() / 4);
    EXPECT_LT(spared, got.size() * 3 / 4);
  }
}

// A <- d A + (1 - d) W with d = min(0.9, (1 + t) / (10 + t)), from the first weights on.
TEST_P(Variants, TheMeanOfTheWeights) {
  ParameterList list = testing::small_model(backend());
  Optimizer optimizer(list.parameters(), {.ema_decay = 0.5});
  const Parameter& p = named(list, "experts.1.down_proj.weight");
  Values mean = values_of(p.value());
  for (int64_t t = 1; t <= 12; t++) {
    testing::set_gradients(list, t);
    optimizer.step();
    const double d = std::min(0.5, double(1 + t) / double(10 + t));
    const Values now = values_of(p.value());
    for (size_t i = 0; i < mean.size(); i++) mean[i] = d * mean[i] + (1 - d) * now[i];
  }
  Tensor kept;
  for (const auto& [name, state] : optimizer.state())
    if (name == p.name + ".average") kept = state;
  ASSERT_TRUE(kept);
  testing::expect_close(values_of(kept), mean, 0, 1e-5, "mean");
  const Values latest = values_of(p.value()), average = values_of(kept);
  optimizer.swap_average();
  EXPECT_EQ(values_of(p.value()), average);
  EXPECT_EQ(values_of(kept), latest);
}

INSTANTIATE_TEST_SUITE_P(Backends, Variants, ::testing::Values("reference", "cpu"), testing::backend_name);

}  // namespace
}  // namespace tenth
