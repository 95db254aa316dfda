// Numbers that are known without running anything, on the reference backend: from the papers, or by hand.
#include "tensor_util.h"

namespace tenth::testing {
namespace {

Backend& backend() { return get_backend("reference"); }

Tensor numbers(Shape shape, const Values& values) { return tensor_of(backend(), DType::kF64, shape, values); }
Tensor unset(Shape shape) { return full(backend(), DType::kF64, shape, kNaN); }
Tensor int_tensor(const std::vector<int32_t>& values) { return ints(backend(), values); }
double logit(double p) { return std::log(p / (1 - p)); }

struct Chosen {
  Values experts, weights;
};

// One token whose sigmoid scores are given.
Chosen gate(const Values& scores, const Values& bias, const GateArgs& args) {
  Values z;
  for (double s : scores) z.push_back(logit(s));
  const int64_t e = int64_t(scores.size()), k = args.experts_per_token;
  Tensor weights = unset({1, k}), experts = int_tensor(std::vector<int32_t>(size_t(k))).view({1, k}), s = unset({1, e});
  backend().gate_forward(weights, experts, s, numbers({1, e}, z), bias.empty() ? Tensor() : numbers({e}, bias), false,
                         args);
  return {values_of(experts), values_of(weights)};
}

GateArgs sigmoid_gate(int k, int groups = 1, int kept = 1) {
  GateArgs args;
  args.experts_per_token = k;
  args.groups = groups;
  args.groups_kept = kept;
  return args;
}

TEST(GateFacts, BiasChoosesButDoesNotWeigh) {
  GateArgs args = sigmoid_gate(2);
  args.scaling = 2.5;
  const Chosen c = gate({0.9, 0.8, 0.2, 0.1}, {0, -1, 1, 0}, args);
  EXPECT_EQ(c.experts, (Values{0, 2}));
  expect_close(c.weights, {2.5 * 0.9 / 1.1, 2.5 * 0.2 / 1.1}, 1e-14, 0, "weights");
}

TEST(GateFacts, TiesGoToTheLowestIndex) {
  EXPECT_EQ(gate({0.5, 0.5, 0.5, 0.5}, {}, sigmoid_gate(2)).experts, (Values{0, 1}));
  EXPECT_EQ(gate({0.1, 0.5, 0.9, 0.5}, {}, sigmoid_gate(2)).experts, (Values{1, 2}));
  EXPECT_EQ(gate({0.5, 0.5, 0.5, 0.5, 0.5, 0.5}, {}, sigmoid_gate(2, 3, 1)).experts, (Values{0, 1}));
}

// Filled with 0 instead of -inf, the excluded experts 2 and 3 would win over expert 1.
TEST(GateFacts, ExcludedGroupsLoseToNegativeScores) {
  EXPECT_EQ(gate({0.9, 0.3, 0.4, 0.4}, {0, -0.5, -0.5, -0.5}, sigmoid_gate(2, 2, 1)).experts, (Values{0, 1}));
}

// Group (0, 1): best 0.9, sum 1.0. Group (2, 3): best 0.6, sum 1.2.
TEST(GateFacts, GroupScores) {
  GateArgs args = sigmoid_gate(1, 2, 1);
  EXPECT_EQ(gate({0.9, 0.1, 0.6, 0.6}, {}, args).experts, Values{2});
  args.group_score = GateArgs::GroupScore::kMax;
  EXPECT_EQ(gate({0.9, 0.1, 0.6, 0.6}, {}, args).experts, Values{0});
  // The best score of a group is unbiased (V2), the sum of two biased (V3).
  EXPECT_EQ(gate({0.9, 0.1, 0.6, 0.6}, {-1, 0, 0, 0}, args).experts, Values{1});
  args.group_score = GateArgs::GroupScore::kTopTwoSum;
  EXPECT_EQ(gate({0.9, 0.1, 0.6, 0.6}, {0.5, 0, 0, 0}, args).experts, Values{0});
}

TEST(GateFacts, SoftmaxWeightsAreNotNormalised) {
  GateArgs args = sigmoid_gate(2);
  args.score = GateArgs::Score::kSoftmax;
  args.normalize = false;
  args.scaling = 16;
  Tensor weights = unset({1, 2}), experts = int_tensor({0, 0}).view({1, 2}), scores = unset({1, 3});
  backend().gate_forward(weights, experts, scores, numbers({1, 3}, {std::log(1.0), std::log(2.0), std::log(5.0)}), {},
                         false, args);
  EXPECT_EQ(values_of(experts), (Values{1, 2}));
  expect_close(values_of(weights), {16 * 2 / 8.0, 16 * 5 / 8.0}, 1e-14, 0, "weights");
  expect_close(values_of(scores), {0.125, 0.25, 0.625}, 1e-14, 0, "scores");
}

// Every expert chosen equally often: f = 1, and the p sum to 1.
TEST(BalanceFacts, OneWhenBalanced) {
  Rng rng(1);
  Tensor scores = unset({8, 4}), loss = unset({1});
  Values values = random_values(rng, 32);
  for (double& value : values) value = 1 / (1 + std::exp(-value));
  set_values(scores, values);
  Tensor experts = int_tensor({0, 1, 2, 3, 0, 1, 2, 3, 0, 3, 1, 2, 0, 2, 1, 3}).view({8, 2});
  backend().balance_loss_forward(loss, scores, experts, int_tensor({0, 4, 4, 8}));
  EXPECT_NEAR(values_of(loss)[0], 1, 1e-14);
}

// All tokens on one expert of E, all the score there: the loss is E / K.
TEST(BalanceFacts, ExpertsWhenCollapsed) {
  Tensor loss = unset({1});
  backend().balance_loss_forward(loss, numbers({3, 4}, {0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}),
                                 int_tensor({1, 1, 1}).view({3, 1}), int_tensor({0, 3}));
  EXPECT_NEAR(values_of(loss)[0], 4, 1e-14);
}

TEST(LogprobFacts, UniformLogitsGiveLogV) {
  Tensor logprobs = unset({2}), lse = unset({2}), entropy = unset({2});
  backend().logprobs_forward(logprobs, lse, entropy, full(backend(), DType::kF64, {2, 1000}, 40), int_tensor({7, -1}));
  expect_close(values_of(logprobs), {-std::log(1000.0), 0}, 1e-14, 0, "logprobs");
  expect_close(values_of(entropy), {std::log(1000.0), std::log(1000.0)}, 1e-12, 0, "entropy");
  expect_close(values_of(lse), {40 + std::log(1000.0), 40 + std::log(1000.0)}, 1e-14, 0, "lse");
}

TEST(LogprobFacts, ForbiddenTokensHaveNoEntropy) {
  Tensor logprobs = unset({1}), lse = unset({1}), entropy = unset({1});
  backend().logprobs_forward(logprobs, lse, entropy, numbers({1, 4}, {-kInfinity, 2, 2, -kInfinity}), int_tensor({1}));
  EXPECT_NEAR(values_of(entropy)[0], std::log(2.0), 1e-14);
  EXPECT_NEAR(values_of(logprobs)[0], -std::log(2.0), 1e-14);
}

// The first step moves by lr against the sign of the gradient, whatever its size; decay is apart from it.
TEST(AdamWFacts, FirstAndSecondStep) {
  Tensor p = numbers({3}, {1, 2, -4}), m = numbers({3}, {0, 0, 0}), v = numbers({3}, {0, 0, 0});
  AdamWArgs args{0.1, 0.9, 0.99, 0, 0.5, 1, 1};
  backend().adamw_step(p, m, v, numbers({3}, {1e-3, -7, 2}), args);
  expect_close(values_of(p), {1 - 0.1 * (1 + 0.5), 2 - 0.1 * (-1 + 1), -4 - 0.1 * (1 - 2)}, 1e-13, 0, "p");
  // By hand for p_0: m = 0.9e-4 + 1e-4 = 1.9e-4 over 0.19; v = (0.99 + 1) 1e-8 over 0.0199: again a step of 1.
  args.step = 2;
  backend().adamw_step(p, m, v, numbers({3}, {1e-3, -7, 2}), args);
  EXPECT_NEAR(values_of(p)[0], 0.85 - 0.1 * (1 + 0.5 * 0.85), 1e-12);
}

TEST(AdamWFacts, GradientIsScaledFirst) {
  Tensor p = numbers({1}, {0}), m = numbers({1}, {0}), v = numbers({1}, {0});
  backend().adamw_step(p, m, v, numbers({1}, {8}), {0.1, 0.9, 0.99, 1, 0, 1, 0.25});
  EXPECT_NEAR(values_of(m)[0], 0.1 * 2, 1e-15);
  EXPECT_NEAR(values_of(v)[0], 0.01 * 4, 1e-15);
  EXPECT_NEAR(values_of(p)[0], -0.1 * 2 / (2 + 1), 1e-14);
}

TEST(RopeFacts, PairsOfTheTwoStyles) {
  // A quarter turn for pair 0, none for pair 1.
  Tensor table = tensor_of(backend(), DType::kF32, {1, 2, 2}, {0, 1, 1, 0});
  Tensor x = numbers({1, 1, 5}, {9, 1, 2, 3, 4}), y = unset({1, 1, 5}), at = int_tensor({0});
  backend().rope(y, x, at, table, 1, RopeStyle::kAdjacent, false);
  EXPECT_EQ(values_of(y), (Values{9, -2, 1, 3, 4}));
  backend().rope(y, x, at, table, 1, RopeStyle::kHalves, false);
  EXPECT_EQ(values_of(y), (Values{9, -3, 2, 1, 4}));
}

TEST(RopeFacts, InverseAndRelativePositions) {
  Rng rng(2);
  Tensor table = rope_table(backend(), 64, 4);
  for (RopeStyle style : {RopeStyle::kAdjacent, RopeStyle::kHalves}) {
    Tensor x = random_tensor(backend(), DType::kF64, {1, 1, 8}, rng),
           z = random_tensor(backend(), DType::kF64, {1, 1, 8}, rng);
    auto turned = [&](const Tensor& t, int32_t position, bool inverse) {
      Tensor y = unset({1, 1, 8});
      backend().rope(y, t, int_tensor({position}), table, 0, style, inverse);
      return y;
    };
    expect_close(values_of(turned(turned(x, 41, false), 41, true)), values_of(x), 0, 1e-6,
                 "inverse");  // the table is f32
    auto score = [&](int32_t i, int32_t j) {
      const Values a = values_of(turned(x, i, false)), b = values_of(turned(z, j, false));
      double sum = 0;
      for (size_t d = 0; d < 8; d++) sum += a[d] * b[d];
      return sum;
    };
    EXPECT_NEAR(score(50, 43), score(7, 0), 1e-5);
  }
}

// One head, two tokens, scores 0 and scale s: the second token weighs its values by e^{s q k}.
TEST(AttentionFacts, ScaleAndCausality) {
  AttentionArgs args;
  args.q = numbers({2, 1, 1}, {1, 1});
  args.k = numbers({2, 1, 1}, {0, 1});
  args.v = numbers({2, 1, 1}, {10, 20});
  args.segments = int_tensor({0, 2});
  args.scale = std::log(3.0);
  Tensor out = unset({2, 1, 1}), lse = unset({2, 1});
  backend().attention_forward(out, lse, args);
  expect_close(values_of(out), {10, (10 + 3 * 20) / 4.0}, 1e-14, 0, "out");
  expect_close(values_of(lse), {0, std::log(4.0)}, 1e-14, 1e-15, "lse");
  args.segments = int_tensor({0, 1, 2});  // two sequences: each token sees itself
  backend().attention_forward(out, lse, args);
  expect_close(values_of(out), {10, 20}, 1e-14, 0, "out");
}

// Absorbed MLA over the latent cache = expanded MLA over whole keys and values.
TEST(AttentionFacts, AbsorbedIsExpanded) {
  Rng rng(3);
  const int64_t n = 6, heads = 3, nope = 4, rope = 2, value = 5, latent = 7;
  Tensor w = random_tensor(backend(), DType::kF64, {heads, nope + value, latent}, rng);
  Tensor c = random_tensor(backend(), DType::kF64, {n, latent}, rng),
         k_rope = random_tensor(backend(), DType::kF64, {n, rope}, rng);
  Tensor q = random_tensor(backend(), DType::kF64, {n, heads, nope + rope}, rng);

  Tensor kv = unset({n, heads * (nope + value)});
  backend().linear_forward(kv, c, w.view({heads * (nope + value), latent}), {}, {}, {});
  kv = kv.view({n, heads, nope + value});
  Tensor expanded = unset({n, heads, value}), lse = unset({n, heads});
  backend().attention_forward(
      expanded, lse, {q, kv.slice(2, 0, nope), k_rope, kv.slice(2, nope, nope + value), int_tensor({0, n}), 0.4});

  const LayerCache cache{{}, {}, unset({2, kCacheBlock, latent + rope})};
  CachePlaces places{int_tensor(std::vector<int32_t>(size_t(n), 0)), int_tensor({0, 1, 2, 3, 4, 5}),
                     int_tensor({1}).view({1, 1})};
  backend().cache_store(cache, c.insert_dim(1), k_rope, Tensor(), places);
  Tensor q_latent = unset({n, heads, latent + rope}), mixed = unset({n, heads, latent}),
         absorbed = unset({n, heads, value});
  backend().mla_absorb_query(q_latent, q.slice(2, 0, nope), w);
  backend().copy(q_latent.slice(2, latent, latent + rope), q.slice(2, nope, nope + rope));
  backend().cached_attention(mixed, q_latent, cache, places, 0.4, {});
  backend().mla_absorb_output(absorbed, mixed, w);
  expect_close(values_of(absorbed), values_of(expanded), 0, 1e-12, "out");
}

TEST(NormFacts, RmsNormByHand) {
  Tensor y = unset({1, 2}), rstd = unset({1});
  backend().rms_norm_forward(y, rstd, numbers({1, 2}, {3, 4}), numbers({2}, {1, 2}), 0);
  const double r = std::sqrt(2 / 25.0);
  expect_close(values_of(y), {3 * r, 8 * r}, 1e-14, 0, "y");
  backend().rms_norm_forward(y, rstd, numbers({1, 2}, {0, 0}), numbers({2}, {1, 2}), 1e-6);
  expect_close(values_of(rstd), {1000}, 1e-12, 0, "rstd of zeros");
}

TEST(DispatchFacts, SortIsStable) {
  Tensor row_of = int_tensor({9, 9, 9, 9, 9, 9}).view({3, 2}), token_of = int_tensor({9, 9, 9, 9, 9, 9});
  Tensor offsets = int_tensor({9, 9, 9, 9, 9});
  backend().sort_by_expert(row_of, token_of, offsets, int_tensor({1, 3, 0, 1, 1, 3}).view({3, 2}));
  EXPECT_EQ(values_of(offsets), (Values{0, 1, 4, 4, 6}));
  EXPECT_EQ(values_of(row_of), (Values{1, 4, 0, 2, 3, 5}));
  EXPECT_EQ(values_of(token_of), (Values{1, 0, 1, 2, 0, 2}));
}

TEST(RoundingFacts, BFloat16TiesToEven) {
  Tensor y = Tensor::make(backend(), DType::kBF16, {4});
  backend().copy(
      y, tensor_of(backend(), DType::kF32, {4}, {1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-8 + 0x1p-20, -kInfinity}));
  EXPECT_EQ(values_of(y), (Values{1, 1 + 0x1p-6, 1 + 0x1p-7, -kInfinity}));
}

}  // namespace
}  // namespace tenth::testing
