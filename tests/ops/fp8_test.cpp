// The FP8 linear: against products of rounded factors by hand, and the cpu backend against the reference.
#include "ops/fp8.h"

#include "ops/linear.h"
#include "ops/logprobs.h"
#include "tensor_util.h"

namespace tenth::testing {
namespace {

using Tile = Fp8Args::Tile;

struct Results {
  Values y, dx, dw;
};

Weight fp8_weight(Backend& backend, Shape shape, DType compute, Fp8Scale scale, uint64_t seed) {
  Rng rng(seed);
  Weight w;
  w.value = random_tensor(backend, gradient_type(compute), shape, rng, 0.1);
  w.compute = Tensor::make(backend, fp8_product_type(compute, scale), shape);
  w.grad = full(backend, gradient_type(compute), shape, 0);
  w.shape = shape;
  w.fp8 = scale;
  w.refresh();
  return w;
}

Results run(Backend& backend, DType compute, Fp8Scale scale, int64_t rows, Shape shape, const Tensor& offsets) {
  Weight w = fp8_weight(backend, shape, compute, scale, 1);
  Rng rng(2);
  const Var x = Var::with_gradient(random_tensor(backend, compute, {rows, shape[-1]}, rng));
  const Tensor dy = random_tensor(backend, compute, {rows, shape[-2]}, rng, 1e-3);
  Tape tape;
  const Var y = offsets ? ops::grouped_linear(x, w, offsets) : ops::linear(x, w);
  EXPECT_EQ(y.value().dtype(), compute);
  const Tape::Root root{y, dy};
  tape.backward({&root, 1});
  return {values_of(y.value()), values_of(x.gradient()), values_of(w.grad)};
}

// x in tiles, by the definition: numbers of one scale s = 2^ceil(log2(amax / 448)).
Values rounded(const Values& x, int64_t rows, int64_t columns, int64_t height, int64_t width) {
  Values y(x.size());
  for (int64_t r0 = 0; r0 < rows; r0 += height)
    for (int64_t c0 = 0; c0 < columns; c0 += width) {
      double amax = 0;
      const auto each = [&](auto&& body) {
        for (int64_t r = r0; r < std::min(rows, r0 + height); r++)
          for (int64_t c = c0; c < std::min(columns, c0 + width); c++) body(size_t(r * columns + c));
      };
      each([&](size_t i) { amax = std::max(amax, std::fabs(x[i])); });
      const double s = std::exp2(std::ceil(std::log2(amax / 448)));
      each([&](size_t i) { y[i] = double(float(fp8_e4m3(float(x[i] / s)))) * s; });
    }
  return y;
}

TEST(Fp8Linear, ThreeProductsOfRoundedFactors) {
  constexpr int64_t kRows = 150, kIn = 140, kOut = 130;
  Backend& backend = get_backend("reference");
  const Results got = run(backend, DType::kF64, Fp8Scale::kUe8m0, kRows, {kOut, kIn}, Tensor());
  Rng weights(1), rng(2);
  const Values w = rounded(random_values(weights, kOut * kIn, 0.1), kOut, kIn, 128, 128);
  const Values x = rounded(random_values(rng, kRows * kIn), kRows, kIn, 1, 128);
  const Values gradient = random_values(rng, kRows * kOut, 1e-3);
  const Values dy = rounded(gradient, kRows, kOut, 1, 128), dy_down = rounded(gradient, kRows, kOut, 128, 1);
  const Values x_down = rounded(x, kRows, kIn, 128, 1);
  Results want{Values(size_t(kRows * kOut)), Values(size_t(kRows * kIn)), Values(size_t(kOut * kIn))};
  for (int64_t n = 0; n < kRows; n++)
    for (int64_t o = 0; o < kOut; o++)
      for (int64_t i = 0; i < kIn; i++) {
        const size_t at_x = size_t(n * kIn + i), at_y = size_t(n * kOut + o), at_w = size_t(o * kIn + i);
        want.y[at_y] += x[at_x] * w[at_w];
        want.dx[at_x] += dy[at_y] * w[at_w];
        want.dw[at_w] += dy_down[at_y] * x_down[at_x];
      }
  expect_close(got.y, want.y, 1e-9, 1e-12, "y");
  expect_close(got.dx, want.dx, 1e-9, 1e-12, "dx");
  expect_close(got.dw, want.dw, 1e-9, 1e-12, "dw");
}

// Same rounded factors, sums in another order: f32 sums, and one rounding to bf16.
TEST(Fp8Linear, TheBackendsAgree) {
  for (DType compute : {DType::kF32, DType::kBF16})
    for (Fp8Scale scale : {Fp8Scale::kF32, Fp8Scale::kUe8m0})
      for (bool grouped : {false, true}) {
        const Shape shape = grouped ? Shape{3, 40, 136} : Shape{40, 136};
        const auto results = [&](const char* name) {
          Backend& backend = get_backend(name);
          const Tensor offsets = grouped ? ints(backend, {0, 130, 130, 200}) : Tensor();
          return run(backend, compute, scale, 200, shape, offsets);
        };
        const Results want = results("reference"), got = results("cpu");
        const double relative = compute == DType::kBF16 ? 0x1p-7 : 1e-5;
        const std::string what = fmt::format("{} {}", name_of(compute), grouped ? "grouped" : "plain");
        expect_close(got.y, want.y, relative, 1e-5, what + " y");
        expect_close(got.dx, want.dx, relative, 1e-8, what + " dx");
        expect_close(got.dw, want.dw, relative, 1e-7, what + " dw");
      }
}

// What an expert's tokens get does not depend on the tokens of other experts, gradient of its weight included.
TEST(Fp8Linear, TilesDoNotCrossExperts) {
  Backend& backend = get_backend("cpu");
  const auto gradient_of_last = [&](int64_t others) {
    Weight w = fp8_weight(backend, {2, 20, 130}, DType::kF32, Fp8Scale::kUe8m0, 3);
    Rng rng(4), noise(5);
    const Values mine = random_values(rng, 70 * 130), dy_mine = random_values(rng, 70 * 20);
    Values x = random_values(noise, others * 130, 1000), dy = random_values(noise, others * 20, 1000);
    x.insert(x.end(), mine.begin(), mine.end());
    dy.insert(dy.end(), dy_mine.begin(), dy_mine.end());
    const int64_t rows = others + 70;
    Tape tape;
    const Var y = ops::grouped_linear(Var(tensor_of(backend, DType::kF32, {rows, 130}, x)), w,
                                      ints(backend, {0, int32_t(others), int32_t(rows)}));
    const Tape::Root root{y, tensor_of(backend, DType::kF32, {rows, 20}, dy)};
    tape.backward({&root, 1});
    return values_of(w.grad[1]);
  };
  const Values alone = gradient_of_last(0);
  for (int64_t others : {1, 60, 300}) expect_same_bits(gradient_of_last(others), alone, "last expert");
}

// d / dw of sum_n c_n logprob_n + z lse_n^2 over the rows with a target.
TEST(ZLoss, GradientEqualsFiniteDifferences) {
  Backend& backend = get_backend("reference");
  constexpr double kZ = 0.3, kStep = 1e-6;
  Rng rng(6);
  const Values start = random_values(rng, 5 * 3), inputs = random_values(rng, 4 * 3), c = random_values(rng, 4);
  const Tensor targets = ints(backend, {2, -1, 0, 4});
  Weight w;
  w.value = w.compute = tensor_of(backend, DType::kF64, {5, 3}, start);
  w.shape = w.value.shape();
  w.grad = full(backend, DType::kF64, {5, 3}, 0);
  const Var x = Var::with_gradient(tensor_of(backend, DType::kF64, {4, 3}, inputs));
  const auto loss = [&](bool backward) {
    Tape tape;
    const auto head = ops::linear_logprobs(x, w, targets, {.z_weight = kZ});
    double sum = 0;
    for (int64_t n : {0, 2, 3})
      sum += c[size_t(n)] * read(head.logprobs.value(), n) + kZ * std::pow(read(head.lse, n), 2);
    const Tape::Root root{head.logprobs, tensor_of(backend, DType::kF64, {4}, c)};
    if (backward) tape.backward({&root, 1});
    return sum;
  };
  loss(true);
  const Values dw = values_of(w.grad), dx = values_of(x.gradient());
  const auto check = [&](const Tensor& t, const Values& gradient) {
    for (int64_t i = 0; i < t.count(); i++) {
      const double before = read(t, i);
      write(t, i, before + kStep);
      const double up = loss(false);
      write(t, i, before - kStep);
      const double down = loss(false);
      write(t, i, before);
      EXPECT_NEAR((up - down) / (2 * kStep), gradient[size_t(i)], 1e-8) << i;
    }
  };
  check(w.value, dw);
  check(x.value(), dx);
}

}  // namespace
}  // namespace tenth::testing
