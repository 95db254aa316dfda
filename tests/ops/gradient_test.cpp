// Every operation's backward pass, as the tape runs it, against finite differences in f64 on the reference backend.
// (tests/backend checks the kernels; this checks what ops adds: which tensor goes where, views, what is recorded.)
#include <functional>

#include "ops/attention.h"
#include "ops/basic.h"
#include "ops/linear.h"
#include "ops/logprobs.h"
#include "ops/moe.h"
#include "ops/norm.h"
#include "tensor_util.h"

namespace tenth::testing {
namespace {

Backend& backend() { return get_backend("reference"); }

// A function of values and weights to several values. The loss is the sum of its results, each times a random tensor.
class Check {
 public:
  Var value(Shape shape, double scale = 1) {
    values_.push_back(Var::with_gradient(random_tensor(backend(), DType::kF64, shape, rng_, scale)));
    return values_.back();
  }
  Weight& weight(Shape shape) {
    weights_.push_back(std::make_unique<Weight>());
    Weight& w = *weights_.back();
    w.value = w.compute = random_tensor(backend(), DType::kF64, shape, rng_);
    w.shape = w.value.shape();
    w.grad = full(backend(), DType::kF64, shape, 0);
    return w;
  }
  Rng& rng() { return rng_; }

  using Function = std::function<std::vector<Var>()>;
  void run(const Function& function) {
    {
      Tape tape;
      std::vector<Tape::Root> roots;
      for (const Var& y : function()) {
        factors_.push_back(random_tensor(backend(), DType::kF64, y.value().shape(), rng_));
        roots.push_back({y, factors_.back()});
      }
      tape.backward(roots);
    }
    for (size_t i = 0; i < values_.size(); i++) {
      ASSERT_TRUE(values_[i].gradient().defined()) << "value " << i;
      compare(function, values_[i].value(), values_of(values_[i].gradient()), fmt::format("value {}", i));
    }
    for (size_t i = 0; i < weights_.size(); i++)
      compare(function, weights_[i]->value, values_of(weights_[i]->grad), fmt::format("weight {}", i));
  }

 private:
  double loss(const Function& function) {
    NoGrad off;
    double sum = 0;
    size_t i = 0;
    for (const Var& y : function()) {
      const Values got = values_of(y.value()), factor = values_of(factors_[i++]);
      for (size_t j = 0; j < got.size(); j++) sum += got[j] * factor[j];
    }
    return sum;
  }
  void compare(const Function& function, const Tensor& at, const Values& gradient, const std::string& what) {
    constexpr double kStep = 1e-5;
    const Values before = values_of(at);
    ASSERT_EQ(gradient.size(), before.size()) << what;
    for (size_t j = 0; j < before.size(); j++) {
      double difference = 0;
      for (double step : {kStep, -kStep}) {
        Values moved = before;
        moved[j] += step;
        set_values(at, moved);
        difference += (step > 0 ? 1 : -1) * loss(function) / (2 * kStep);
      }
      EXPECT_NEAR(difference, gradient[j], 1e-7 * (1 + std::fabs(gradient[j]))) << what << "[" << j << "]";
    }
    set_values(at, before);
  }

  Rng rng_{17};
  std::vector<Var> values_;
  std::vector<std::unique_ptr<Weight>> weights_;
  std::vector<Tensor> factors_;
};

TEST(OpGradient, AddViewSplitConcat) {
  Check c;
  const Var a = c.value({3, 4}), b = c.value({3, 4});
  c.run([&] {
    const auto parts = ops::split_columns(ops::add(a, b), 1);
    return std::vector{ops::view(ops::concat_columns(parts[1], a), {7, 3}), parts[0]};
  });
}

TEST(OpGradient, SplitOfWhichOnePartIsUsed) {
  Check c;
  const Var a = c.value({3, 4});
  c.run([&] { return std::vector{ops::split_columns(a, 1)[1]}; });
}

TEST(OpGradient, CastBackAndForth) {  // f32 in between rounds the value; its gradient passes
  const Var x = Var::with_gradient(tensor_of(backend(), DType::kF64, {1, 3}, {1, 2, 3}));
  Tape tape;
  const Var y = ops::cast(ops::cast(x, DType::kF32), DType::kF64);
  const Tape::Root root{y, tensor_of(backend(), DType::kF64, {1, 3}, {5, 6, 7})};
  tape.backward({&root, 1});
  EXPECT_EQ(values_of(x.gradient()), (Values{5, 6, 7}));
}

TEST(OpGradient, Linear) {
  Check c;
  const Var x = c.value({5, 4});
  Weight &w = c.weight({3, 4}), &bias = c.weight({3}), &head = c.weight({2, 4});
  c.run([&] {
    w.packed = head.packed = Tensor();  // the check writes to the value
    return std::vector{ops::linear(x, w, &bias), ops::linear_to(DType::kF64, x, head)};
  });
}

TEST(OpGradient, GroupedLinear) {
  Check c;
  const Var x = c.value({6, 4});
  Weight& w = c.weight({3, 2, 4});
  const Tensor offsets = ints(backend(), {0, 4, 4, 6});  // the second expert gets nothing
  c.run([&] {
    w.packed = Tensor();
    return std::vector{ops::grouped_linear(x, w, offsets)};
  });
}

TEST(OpGradient, EmbeddingOfATokenThatRepeats) {
  Check c;
  Weight& w = c.weight({5, 3});
  c.run([&] { return std::vector{ops::embedding(ints(backend(), {1, 4, 1, 0}), w, DType::kF64)}; });
}

TEST(OpGradient, Norms) {
  Check c;
  const Var x = c.value({4, 6}), delta = c.value({4, 6});
  Weight &w = c.weight({6}), &v = c.weight({6});
  c.run([&] {
    const ops::ResidualNorm r = ops::add_rms_norm(x, delta, w, 1e-6);
    return std::vector{r.sum, r.normed, ops::rms_norm(r.sum, v, 1e-3)};
  });
}

TEST(OpGradient, ResidualNormOfWhichOneResultIsUsed) {
  for (const bool sum : {false, true}) {
    Check c;
    const Var x = c.value({2, 3}), delta = c.value({2, 3});
    Weight& w = c.weight({3});
    c.run([&] {
      const ops::ResidualNorm r = ops::add_rms_norm(x, delta, w, 1e-6);
      return std::vector{sum ? r.sum : r.normed};
    });
  }
}

TEST(OpGradient, RopeAndSwiglu) {
  for (const RopeStyle style : {RopeStyle::kAdjacent, RopeStyle::kHalves}) {
    Check c;
    const Var heads = c.value({3, 2, 7}), one = c.value({3, 4}), gate_up = c.value({3, 6});
    const Tensor positions = ints(backend(), {0, 5, 2}), table = rope_table(backend(), 8, 2);
    c.run([&] {
      return std::vector{ops::rope(heads, positions, table, 3, style), ops::rope(one, positions, table, 0, style),
                         ops::swiglu(gate_up)};
    });
  }
}

TEST(OpGradient, GroupedQueryAttention) {
  Check c;
  const Var q = c.value({6, 4 * 3}), k = c.value({6, 2 * 3}), v = c.value({6, 2 * 3});
  const Tensor segments = ints(backend(), {0, 4, 6});
  c.run([&] { return std::vector{ops::gqa_attention(q, k, v, segments, {4, 2, 3}, 0.7)}; });
}

TEST(OpGradient, LatentAttention) {
  Check c;
  const Var q = c.value({6, 2 * (3 + 2)}), kv = c.value({6, 2 * (3 + 4)}), k_rope = c.value({6, 2});
  const Tensor segments = ints(backend(), {0, 1, 6});
  c.run([&] { return std::vector{ops::mla_attention(q, kv, k_rope, segments, {2, 3, 2, 4}, 0.7)}; });
}

// The whole routed part: gate, balance loss, dispatch and combine.
TEST(OpGradient, Mixture) {
  for (const GateArgs::Score score : {GateArgs::Score::kSoftmax, GateArgs::Score::kSigmoid}) {
    for (const bool normalize : {false, true}) {
      Check c;
      const Var logits = c.value({7, 6}), x = c.value({7, 3});
      const Tensor bias = random_tensor(backend(), DType::kF64, {6}, c.rng(), 0.3);
      const Tensor segments = ints(backend(), {0, 3, 7});
      const GateArgs args{.score = score,
                          .group_score = GateArgs::GroupScore::kTopTwoSum,
                          .groups = 3,
                          .groups_kept = 2,
                          .experts_per_token = 2,
                          .normalize = normalize,
                          .scaling = 1.7};
      c.run([&] {
        const ops::Routing routing = ops::gate(logits, bias, Tensor(), args);
        const ops::Dispatch d = ops::sort_by_expert(routing.experts, 6);
        const Var sorted = ops::gather_rows(x, d.token_of, d.row_of);
        return std::vector{ops::combine(sorted, routing.weights, d.row_of),
                           ops::balance_loss(logits, routing, segments, args)};
      });
    }
  }
}

TEST(OpGradient, LinearLogprobs) {
  for (const double temperature : {1.0, 0.6}) {
    Check c;
    const Var x = c.value({4, 3});
    Weight& w = c.weight({5, 3});
    const Tensor targets = ints(backend(), {2, -1, 0, 4});
    c.run([&] {
      w.packed = Tensor();
      return std::vector{ops::linear_logprobs(x, w, targets, {.temperature = temperature}).logprobs};
    });
  }
}

}  // namespace
}  // namespace tenth::testing
