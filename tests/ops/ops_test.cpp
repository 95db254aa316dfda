// What operations promise beside their gradients.
#include "ops/linear.h"
#include "ops/logprobs.h"
#include "ops/moe.h"
#include "ops/norm.h"
#include "tensor_util.h"

namespace tenth::testing {
namespace {

Weight frozen(Backend& backend, DType dtype, Shape shape, uint64_t seed) {
  Rng rng(seed);
  Weight w;
  w.value = w.compute = random_tensor(backend, dtype, shape, rng);
  w.shape = w.value.shape();
  return w;
}

// The head works in chunks of rows; what a row gets must not depend on where chunks end.
TEST(LinearLogprobs, ChunksAreOnesBits) {
  Backend& backend = get_backend("cpu");
  constexpr int64_t kVocabulary = 1 << 17, kTokens = 70;  // 32 rows a chunk
  Rng rng(3);
  const Tensor x = random_tensor(backend, DType::kF32, {kTokens, 4}, rng);
  Weight w = frozen(backend, DType::kF32, {kVocabulary, 4}, 4);
  std::vector<int32_t> targets;
  for (int64_t n = 0; n < kTokens; n++) targets.push_back(int32_t(rng.below(kVocabulary)));
  const ops::LogprobOptions options{.with_entropy = true};
  const ops::TokenLogprobs all = ops::linear_logprobs(x, w, ints(backend, targets), options);
  for (int64_t n : {0, 31, 32, 69}) {
    const ops::TokenLogprobs one =
        ops::linear_logprobs(x.slice(0, n, n + 1), w, ints(backend, {targets[size_t(n)]}), options);
    EXPECT_EQ(values_of(one.logprobs.value())[0], values_of(all.logprobs.value())[size_t(n)]) << n;
    EXPECT_EQ(values_of(one.entropy)[0], values_of(all.entropy)[size_t(n)]) << n;
  }
}

// Where the gradient of the log-probabilities is given beforehand, the gradients are those of the backward pass: the
// same products, summed over rows and columns in other pieces. Two chunks of rows, three blocks of columns.
TEST(LinearLogprobs, GradientsMadeAtOnceAreThoseOfTheBackwardPass) {
  constexpr int64_t kVocabulary = 20'000, kTokens = 700, kWidth = 6;
  for (const char* name : {"reference", "cpu"}) {
    Backend& backend = get_backend(name);
    Rng rng(7);
    Weight w = frozen(backend, DType::kF32, {kVocabulary, kWidth}, 4);
    std::vector<int32_t> targets;
    for (int64_t n = 0; n < kTokens; n++) targets.push_back(n % 9 == 0 ? -1 : int32_t(rng.below(kVocabulary)));
    const Tensor dlogprobs = random_tensor(backend, DType::kF32, {kTokens}, rng);
    const Tensor inputs = random_tensor(backend, DType::kF32, {kTokens, kWidth}, rng);
    const auto gradients = [&](const Tensor& known) {
      w.grad = full(backend, DType::kF32, w.shape, known ? 5 : 0);
      w.grad_is_zero = known.defined();  // assigned to, whatever was there
      const Var x = Var::with_gradient(inputs);
      Tape tape;
      const auto head =
          ops::linear_logprobs(x, w, ints(backend, targets), {.temperature = 0.7, .z_weight = 0.2, .dlogprobs = known});
      const Tape::Root root{head.logprobs, dlogprobs};
      tape.backward({&root, 1});
      return std::pair(values_of(x.gradient()), values_of(w.grad));
    };
    const auto [dx, dw] = gradients(dlogprobs);
    const auto [wanted_dx, wanted_dw] = gradients({});
    expect_close(dx, wanted_dx, 1e-5, 1e-5, std::string(name) + " dx");
    expect_close(dw, wanted_dw, 1e-5, 1e-5, std::string(name) + " dw");
  }
}

TEST(LinearLogprobs, AGradientGivenBeforehandIsTheOneThatComes) {
  Backend& backend = get_backend("reference");
  Weight w = frozen(backend, DType::kF64, {3, 2}, 1);
  const Var x = Var::with_gradient(full(backend, DType::kF64, {2, 2}, 1));
  Tape tape;
  const auto head =
      ops::linear_logprobs(x, w, ints(backend, {0, 1}), {.dlogprobs = full(backend, DType::kF64, {2}, 1)});
  const Tape::Root root{head.logprobs, full(backend, DType::kF64, {2}, 2)};
  EXPECT_THROW(tape.backward({&root, 1}), Error);
}

TEST(LinearLogprobs, KnownNumbers) {
  Backend& backend = get_backend("reference");
  Weight w;
  w.value = w.compute = tensor_of(backend, DType::kF64, {2, 1}, {0, std::log(3.0)});
  w.shape = w.value.shape();
  const Tensor x = tensor_of(backend, DType::kF64, {3, 1}, {1, 1, 2});
  const auto y = ops::linear_logprobs(x, w, ints(backend, {0, -1, 1}), {.with_entropy = true, .temperature = 2});
  // softmax of (0, log 3 / 2) and of (0, log 3)
  const double r = std::sqrt(3.0), p = r / (1 + r);
  expect_close(values_of(y.logprobs.value()), {std::log(1 - p), 0, std::log(0.75)}, 0, 1e-14, "logprobs");
  expect_close(values_of(y.entropy),
               {-p * std::log(p) - (1 - p) * std::log(1 - p), -p * std::log(p) - (1 - p) * std::log(1 - p),
                -0.75 * std::log(0.75) - 0.25 * std::log(0.25)},
               0, 1e-14, "entropy");
}

TEST(Ops, WeightsThatAreNotTrainedRecordNothing) {
  Backend& backend = get_backend("reference");
  Weight w = frozen(backend, DType::kF64, {3, 4}, 1), norm = frozen(backend, DType::kF64, {4}, 2);
  Rng rng(3);
  const Var x(random_tensor(backend, DType::kF64, {2, 4}, rng));
  Tape tape;
  EXPECT_FALSE(ops::linear(ops::rms_norm(x, norm, 1e-6), w).needs_gradient());
  const Var with = Var::with_gradient(x.value());
  const Var y = ops::linear(ops::rms_norm(with, norm, 1e-6), w);
  const Tape::Root root{y, full(backend, DType::kF64, {2, 3}, 1)};
  tape.backward({&root, 1});
  EXPECT_TRUE(with.gradient().defined());
  EXPECT_FALSE(w.grad.defined());
}

TEST(Ops, WeightGradientsAccumulate) {
  Backend& backend = get_backend("cpu");
  Weight w = frozen(backend, DType::kF32, {3, 4}, 1);
  w.grad = full(backend, DType::kF32, {3, 4}, 0);
  Rng rng(3);
  const Tensor x = random_tensor(backend, DType::kF32, {2, 4}, rng);
  Values once;
  for (int pass = 1; pass <= 2; pass++) {
    Tape tape;
    const Var y = ops::linear(x, w);
    const Tape::Root root{y, full(backend, DType::kF32, {2, 3}, 1)};
    tape.backward({&root, 1});
    if (pass == 1) once = values_of(w.grad);
  }
  for (double& value : once) value *= 2;
  EXPECT_EQ(values_of(w.grad), once);
}

TEST(Ops, RefreshFollowsTheMasterWeights) {
  Backend& backend = get_backend("cpu");
  Weight w;
  w.value = full(backend, DType::kF32, {64, 32}, 1);
  w.compute = Tensor::make(backend, DType::kBF16, {64, 32});
  w.shape = w.value.shape();
  w.refresh();
  const Tensor x = full(backend, DType::kBF16, {1, 32}, 1);
  EXPECT_EQ(values_of(ops::linear(x, w).value()), Values(64, 32));
  backend.fill(w.value, 2);
  w.refresh();
  EXPECT_EQ(values_of(ops::linear(x, w).value()), Values(64, 64));
}

TEST(Ops, ShapesThatDoNotFitAreNamed) {
  Backend& backend = get_backend("cpu");
  Weight w = frozen(backend, DType::kF32, {3, 4}, 1), norm = frozen(backend, DType::kF32, {5}, 1);
  const Var x(full(backend, DType::kF32, {2, 6}, 1));
  const auto text = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(text([&] { ops::linear(x, w); }),
            "[linear] the input of shape (2, 6) does not fit a weight of shape (3, 4)");
  EXPECT_EQ(text([&] { ops::rms_norm(x, norm, 1e-6); }), "[rms_norm] the input has 6 columns, the weight 5");
  const Tensor logits = full(backend, DType::kF32, {2, 4}, 0), replay = ints(backend, {0, 1, 2, 3});
  EXPECT_EQ(text([&] { ops::gate(logits, Tensor(), replay, {.experts_per_token = 2}); }),
            "[gate] replay of shape (4) for 2 tokens");
}

}  // namespace
}  // namespace tenth::testing
