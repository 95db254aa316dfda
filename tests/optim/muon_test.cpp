#include "optim/muon.h"

#include "optim_util.h"

namespace tenth {
namespace {

using testing::values_of;

class Muon : public testing::OnBackend {
 protected:
  Tensor zeros(Shape shape) { return testing::full(backend(), DType::kF32, shape, 0); }
  Tensor tensor(Shape shape, const testing::Values& values) {
    return testing::tensor_of(backend(), DType::kF32, shape, values);
  }
  // A matrix that starts at zero, with this gradient.
  MuonMatrix from_gradient(const Tensor& grad) { return {zeros(grad.shape()), grad, zeros(grad.shape())}; }
  Tensor orthogonalized(const Tensor& g) {
    const int64_t side = std::min(g.dim(0), g.dim(1));
    MuonWorkspace workspace(backend(), DType::kF32, g.count(), side * side, DType::kF32);
    const Tensor x = workspace.x.view(g.shape());
    backend().copy(x, g);
    return newton_schulz(backend(), x, workspace);
  }
};

// What five steps make of one singular value.
double quintic(double s) {
  for (int i = 0; i < 5; i++) s = 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s;
  return s;
}

TEST(MuonFlops, AreThoseOfItsProducts) {
  // 5 (4 n^2 m + 2 n^3) with n the short side, by hand: n = 2, m = 3: 5 (48 + 16).
  EXPECT_EQ(newton_schulz_flops(2, 3), 320);
  EXPECT_EQ(newton_schulz_flops(3, 2), 320);
  EXPECT_EQ(newton_schulz_flops(1, 1), 30);
  EXPECT_EQ(newton_schulz_flops(1408, 2048), 5 * (4.0 * 1408 * 1408 * 2048 + 2.0 * 1408 * 1408 * 1408));
}

// A matrix with equal singular values: rows (of the wide form) with disjoint support, entries of both signs.
testing::Values equal_singular_values(int64_t rows, int64_t columns) {
  testing::Values g(size_t(rows * columns));
  const int64_t side = std::min(rows, columns);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      if (i % side == j % side) g[size_t(i * columns + j)] = (i * 3 + j * 5) % 7 < 3 ? 0.01 : -0.01;
  return g;
}

// The table of ../shared/reference/training.md, section 2: diag(s, sqrt(1 - s^2)) has norm 1.
TEST_P(Muon, NewtonSchulzMovesSingularValuesAsPublished) {
  const std::vector<std::pair<double, double>> table = {{0.001, 0.47}, {0.01, 0.70}, {0.1, 0.71}, {0.5, 0.77}};
  for (const auto& [before, after] : table) {
    const Tensor o = orthogonalized(tensor({2, 2}, {before, 0, 0, std::sqrt(1 - before * before)}));
    EXPECT_NEAR(testing::read(o, 0), after, 0.006) << before;
    EXPECT_NEAR(testing::read(o, 0), quintic(before), 1e-5) << before;
  }
  EXPECT_NEAR(testing::read(orthogonalized(tensor({1, 1}, {-3})), 0), -0.70, 0.006);
}

TEST_P(Muon, AnOrthogonalGradientKeepsItsDirection) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{24, 24}, {48, 16}, {16, 48}, {1, 8}, {8, 1}})
    for (MuonScale scale : {MuonScale::kOriginal, MuonScale::kMatchRmsAdamW}) {
      const double side = double(std::min(rows, columns)), longer = double(std::max(rows, columns));
      const double c = scale == MuonScale::kOriginal ? std::sqrt(std::max(1.0, double(rows) / double(columns)))
                                                     : 0.2 * std::sqrt(longer);
      testing::Values want = equal_singular_values(rows, columns);
      const MuonMatrix matrix = from_gradient(tensor({rows, columns}, want));
      muon_step(backend(), {&matrix, 1}, {.lr = 0.1, .scale = scale});
      const double singular = 0.01 * std::sqrt(longer / side);
      for (double& w : want) w *= -0.1 * c * quintic(1 / std::sqrt(side)) / singular;
      testing::expect_close(values_of(matrix.value), want, 1e-4, 1e-7, matrix.value.shape().text());
    }
}

// 2^20 elements and more go another way: one at a time.
TEST_P(Muon, LargeAndSmallMatricesInOneStep) {
  const Shape shape{16, 65536};
  const MuonMatrix large = from_gradient(tensor(shape, equal_singular_values(16, 65536)));
  Rng rng(3);
  const Tensor grad = testing::random_tensor(backend(), DType::kF32, {12, 20}, rng);
  const MuonMatrix small = from_gradient(grad), alone = from_gradient(grad);
  const std::vector<MuonMatrix> both = {large, small};
  muon_step(backend(), both, {.lr = 1});
  muon_step(backend(), {&alone, 1}, {.lr = 1});
  testing::expect_same_bits(values_of(small.value), values_of(alone.value), "small");
  EXPECT_NEAR(std::fabs(testing::read(large.value, 0)), quintic(0.25) / 64, 1e-5);
}

TEST_P(Muon, AZeroGradientOnlyDecays) {
  MuonMatrix matrix = from_gradient(zeros({6, 4}));
  matrix.value = testing::full(backend(), DType::kF32, {6, 4}, 2);
  muon_step(backend(), {&matrix, 1}, {.lr = 0.5, .weight_decay = 0.1});
  testing::expect_close(values_of(matrix.value), testing::Values(24, 1.9), 0, 1e-6, "decayed");
}

TEST_P(Muon, TheScaleOfTheGradientDoesNotMatter) {
  Rng rng(4);
  const Tensor grad = testing::random_tensor(backend(), DType::kF32, {20, 12}, rng);
  const MuonMatrix one = from_gradient(grad), other = from_gradient(grad);
  muon_step(backend(), {&one, 1}, {.lr = 1});
  muon_step(backend(), {&other, 1}, {.lr = 1, .grad_scale = 1e-2});
  testing::expect_close(values_of(other.value), values_of(one.value), 0, 2e-5, "scaled");
}

// Two steps by hand: M = mu M + (1 - mu) G, and the update from M, or from mu M + (1 - mu) G.
TEST_P(Muon, MomentumWithAndWithoutNesterov) {
  Rng rng(5);
  const testing::Values g1 = testing::random_values(rng, 60), g2 = testing::random_values(rng, 60);
  const auto mix = [](double a, const testing::Values& x, double b, const testing::Values& y) {
    testing::Values sum(x.size());
    for (size_t i = 0; i < x.size(); i++) sum[i] = a * x[i] + b * y[i];
    return sum;
  };
  for (bool nesterov : {false, true}) {
    MuonMatrix matrix = from_gradient(tensor({10, 6}, g1));
    const MuonArgs args = {.lr = 1, .momentum = 0.9, .nesterov = nesterov};
    muon_step(backend(), {&matrix, 1}, args);
    matrix.grad = tensor({10, 6}, g2);
    muon_step(backend(), {&matrix, 1}, args);
    const testing::Values m = mix(0.09, g1, 0.1, g2), u = nesterov ? mix(0.9, m, 0.1, g2) : m;
    const double c = std::sqrt(10.0 / 6);
    const testing::Values want =
        mix(-c, values_of(orthogonalized(tensor({10, 6}, g1))), -c, values_of(orthogonalized(tensor({10, 6}, u))));
    testing::expect_close(values_of(matrix.momentum), m, 0, 1e-6, "momentum");
    testing::expect_close(values_of(matrix.value), want, 0, 1e-4, nesterov ? "nesterov" : "plain");
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Muon, ::testing::Values("reference", "cpu"), testing::backend_name);

}  // namespace
}  // namespace tenth
