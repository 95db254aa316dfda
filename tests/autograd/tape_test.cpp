// The tape: order and sums of gradients, scopes without recording, nested tapes, recompute.
#include "autograd/tape.h"

#include "ops/basic.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "tensor_util.h"

namespace tenth::testing {
namespace {

Backend& reference() { return get_backend("reference"); }

Var leaf(Shape shape, uint64_t seed) {
  Rng rng(seed);
  return Var::with_gradient(random_tensor(reference(), DType::kF64, shape, rng));
}

Weight random_weight(Shape shape, uint64_t seed) {
  Rng rng(seed);
  Weight w;
  w.value = w.compute = random_tensor(reference(), DType::kF64, shape, rng);
  w.shape = shape;
  w.grad = full(reference(), DType::kF64, shape, 0);
  return w;
}

void backward_ones(Tape& tape, const Var& output) {
  const Tape::Root root{output, full(reference(), output.value().dtype(), output.value().shape(), 1)};
  tape.backward({&root, 1});
}

TEST(Tape, GradientsOfAValueUsedSeveralTimesAreSummed) {
  const Var x = leaf({3, 4}, 1);
  Tape tape;
  const Var twice = ops::add(x, x);
  backward_ones(tape, ops::add(twice, ops::add(x, twice)));  // 5 x
  EXPECT_EQ(values_of(x.gradient()), Values(12, 5));
}

// add() hands the same tensor to both of its inputs: summing into one must not change the other.
TEST(Tape, AGradientThatTwoValuesShareIsNotWrittenTo) {
  const Var a = leaf({2, 2}, 1), b = leaf({2, 2}, 2);
  Tape tape;
  const Var early = ops::add(a, a);  // adds 2 to a after the shared gradient reached it
  backward_ones(tape, ops::add(ops::add(a, b), early));
  EXPECT_EQ(values_of(a.gradient()), Values(4, 3));
  EXPECT_EQ(values_of(b.gradient()), Values(4, 1));
}

TEST(Tape, TheRootsOwnGradientStaysAsItWasGiven) {
  const Var x = leaf({2, 2}, 1);
  Tape tape;
  const Var y = ops::add(x, x);
  const Tensor seed = full(reference(), DType::kF64, {2, 2}, 1);
  const std::vector<Tape::Root> roots{{y, seed}, {y, seed}, {x, seed}};
  tape.backward(roots);
  EXPECT_EQ(values_of(x.gradient()), Values(4, 5));
  EXPECT_EQ(values_of(seed), Values(4, 1));
}

TEST(Tape, WhatTheLossDoesNotReachGetsNoGradient) {
  const Var x = leaf({2, 2}, 1), unused = leaf({2, 2}, 2), constant(leaf({2, 2}, 3).value());
  Tape tape;
  const Var aside = ops::add(unused, unused);
  backward_ones(tape, ops::add(x, constant));
  EXPECT_TRUE(x.gradient().defined());
  EXPECT_FALSE(unused.gradient().defined());
  EXPECT_FALSE(aside.gradient().defined());
  EXPECT_FALSE(constant.needs_gradient());
}

TEST(Tape, NothingIsRecordedWithoutATapeOrUnderNoGrad) {
  const Var x = leaf({2, 2}, 1);
  EXPECT_EQ(Tape::active(), nullptr);
  EXPECT_FALSE(ops::add(x, x).needs_gradient());
  Tape tape;
  EXPECT_EQ(Tape::active(), &tape);
  {
    NoGrad off;
    EXPECT_EQ(Tape::active(), nullptr);
    EXPECT_FALSE(ops::add(x, x).needs_gradient());
    NoGrad again;
    EXPECT_EQ(Tape::active(), nullptr);
  }
  EXPECT_EQ(Tape::active(), &tape);
  EXPECT_TRUE(ops::add(x, x).needs_gradient());
}

TEST(Tape, TapesNest) {
  const Var x = leaf({2, 2}, 1);
  Tape outer;
  const Var y = ops::add(x, x);
  {
    Tape inner;
    EXPECT_EQ(Tape::active(), &inner);
    const Var z = leaf({2, 2}, 2);
    backward_ones(inner, ops::add(z, ops::add(z, z)));
    EXPECT_EQ(values_of(z.gradient()), Values(4, 3));
    EXPECT_FALSE(x.gradient().defined());
  }
  EXPECT_EQ(Tape::active(), &outer);
  backward_ones(outer, y);
  EXPECT_EQ(values_of(x.gradient()), Values(4, 2));
}

TEST(Tape, ATapeThatIsDroppedLeavesGradientsAlone) {
  const Var x = leaf({2, 2}, 1);
  try {
    Tape tape;
    ops::add(x, x);
    fail(ErrorKind::kNumeric, "a loss that is not finite");
  } catch (const Error&) {
  }
  EXPECT_EQ(Tape::active(), nullptr);
  EXPECT_FALSE(x.gradient().defined());
}

TEST(Tape, ActivationsAreFreedAsTheBackwardPassGoes) {
  const auto in_use = [] { return reference().pool_statistics().bytes_in_use; };
  const Var x = leaf({64, 64}, 1);
  Weight w = random_weight({64}, 2);
  const size_t before = in_use(), one = 64 * 64 * 8;
  Tape tape;
  {
    Var y = x;
    for (int i = 0; i < 8; i++) y = ops::add(y, y);  // sums need no activations for their gradients
    EXPECT_LE(in_use(), before + 2 * one);
    for (int i = 0; i < 8; i++) y = ops::rms_norm(y, w, 1e-6);
    EXPECT_GE(in_use(), before + 8 * one);
    backward_ones(tape, y);
  }
  EXPECT_LE(in_use(), before + 3 * one / 2);  // the gradient of x
}

// Two layers with a residual sum, one inside the other's input, as blocks have them.
struct Net {
  Weight norm = random_weight({6}, 1), up = random_weight({8, 6}, 2), down = random_weight({6, 4}, 3);
  Var operator()(const Var& x) {
    return ops::add(x, ops::linear(ops::swiglu(ops::linear(ops::rms_norm(x, norm, 1e-6), up)), down));
  }
  std::vector<Values> gradients() const { return {values_of(norm.grad), values_of(up.grad), values_of(down.grad)}; }
};

std::vector<Values> run(bool recompute, size_t* kept) {
  Net a, b;
  const Var x = leaf({5, 6}, 9);
  const auto in_use = [] { return reference().pool_statistics().bytes_in_use; };
  const size_t before = in_use();
  Tape tape(recompute);
  const Var y = b(a(x));
  *kept = in_use() - before;
  backward_ones(tape, y);
  std::vector<Values> results = {values_of(y.value()), values_of(x.gradient())};
  for (const Net* net : {&a, &b})
    for (const Values& gradient : net->gradients()) results.push_back(gradient);
  return results;
}

TEST(Recompute, GivesTheSameBitsOfEveryGradientAndKeepsLess) {
  size_t all = 0, less = 0;
  const std::vector<Values> want = run(false, &all), got = run(true, &less);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); i++) expect_same_bits(got[i], want[i], std::to_string(i));
  EXPECT_LT(less, all);
}

TEST(Recompute, MakesAValueOnceAndOnlyWhereItIsAskedFor) {
  const Var x = leaf({2, 2}, 1);
  int runs = 0;
  const auto doubled = [&](const Var& in) {
    return recomputed(ops::add(in, in), [&runs, in = in.kept()] {
      runs++;
      return ops::add(in, in).value();
    });
  };
  Tape tape(true);
  Var y = doubled(doubled(x));
  EXPECT_TRUE(y.made_again());
  const Var kept = y.kept();
  backward_ones(tape, y);
  EXPECT_EQ(runs, 0);  // the gradient of a sum needs no values
  const Values want = values_of(y.value());
  y = Var();
  EXPECT_EQ(values_of(kept.value()), want);
  EXPECT_EQ(values_of(kept.value()), want);
  EXPECT_EQ(runs, 2);  // each of the two once
}

TEST(Recompute, OnlyATapeThatRecomputesForgetsValues) {
  const Var x = leaf({2, 2}, 1);
  const auto make = [] { return Tensor(); };
  EXPECT_FALSE(recomputed(ops::add(x, x), make).made_again());
  Tape tape;
  EXPECT_FALSE(recomputed(ops::add(x, x), make).made_again());
}

}  // namespace
}  // namespace tenth::testing
