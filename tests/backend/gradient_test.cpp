// Every backward of the reference backend against central differences of its forward, in f64.
//
// With cotangents c of the outputs y, L = sum c y: the backward must give dL/dx for every element of every input.
#include <algorithm>
#include <functional>

#include "tensor_util.h"

namespace tenth::testing {
namespace {

Backend& backend() { return get_backend("reference"); }

Tensor random(Rng& rng, Shape shape, double scale = 1) {
  return random_tensor(backend(), DType::kF64, shape, rng, scale);
}
Tensor unset(Shape shape) { return full(backend(), DType::kF64, shape, kNaN); }
Tensor int_tensor(const std::vector<int32_t>& values) { return ints(backend(), values); }

// Gradients of weights accumulate: they start at 3, which must still be there afterwards.
constexpr double kBefore = 3;
Tensor started(Shape shape) { return full(backend(), DType::kF64, shape, kBefore); }
Values without_start(const Tensor& t) {
  Values values = values_of(t);
  for (double& value : values) value -= kBefore;
  return values;
}

double dot(const Tensor& a, const Tensor& b) {
  const Values x = values_of(a), y = values_of(b);
  double sum = 0;
  for (size_t i = 0; i < x.size(); i++) sum += x[i] * y[i];
  return sum;
}

// loss() runs the forward and gives L; gradient is what the backward said about x.
void check_gradient(const std::string& name, const Tensor& x, const Values& gradient,
                    const std::function<double()>& loss) {
  const double h = 1e-5;
  ASSERT_EQ(int64_t(gradient.size()), x.count()) << name;
  double largest = 0;
  for (double value : gradient) largest = std::max(largest, std::fabs(value));
  for (int64_t i = 0; i < x.count(); i++) {
    const int64_t at = offset_of(x, i);
    const double before = read(x, at);
    write(x, at, before + h);
    const double up = loss();
    write(x, at, before - h);
    const double down = loss();
    write(x, at, before);
    ASSERT_NEAR((up - down) / (2 * h), gradient[size_t(i)], 2e-8 * (1 + largest)) << name << "[" << i << "]";
  }
}

TEST(Gradient, Linear) {
  Rng rng(1);
  for (auto [n, i, o] : {std::array<int64_t, 3>{1, 1, 1}, {5, 7, 3}, {4, 2, 9}}) {
    Tensor x = random(rng, {n, i}), w = random(rng, {o, i}), bias = random(rng, {o}), dy = random(rng, {n, o}),
           y = unset({n, o});
    auto loss = [&] {
      backend().linear_forward(y, x, w, {}, bias, {});
      return dot(y, dy);
    };
    Tensor dx = unset({n, i}), dw = started({o, i}), dbias = started({o});
    backend().linear_backward_input(dx, dy, w, {}, true);
    backend().linear_backward_weight(dw, dbias, dy, x, {}, false);
    check_gradient("dx", x, values_of(dx), loss);
    check_gradient("dw", w, without_start(dw), loss);
    check_gradient("dbias", bias, without_start(dbias), loss);
  }
}

TEST(Gradient, GroupedLinearWithEmptyGroups) {
  Rng rng(2);
  Tensor offsets = int_tensor({0, 0, 3, 3, 4, 7, 7});
  Tensor x = random(rng, {7, 5}), w = random(rng, {6, 3, 5}), dy = random(rng, {7, 3}), y = unset({7, 3});
  auto loss = [&] {
    backend().linear_forward(y, x, w, {}, {}, offsets);
    return dot(y, dy);
  };
  Tensor dx = unset({7, 5}), dw = started({6, 3, 5});
  backend().linear_backward_input(dx, dy, w, offsets, true);
  backend().linear_backward_weight(dw, {}, dy, x, offsets, false);
  check_gradient("dx", x, values_of(dx), loss);
  check_gradient("dw", w, without_start(dw), loss);
}

TEST(Gradient, Embedding) {
  Rng rng(3);
  Tensor ids = int_tensor({4, 0, 4, 2, 4}), w = random(rng, {6, 3}), dy = random(rng, {5, 3}), y = unset({5, 3});
  Tensor dw = started({6, 3});
  backend().embedding_backward(dw, dy, ids);
  check_gradient("dw", w, without_start(dw), [&] {
    backend().embedding_forward(y, ids, w);
    return dot(y, dy);
  });
}

TEST(Gradient, RmsNorm) {
  Rng rng(4);
  for (bool residual : {false, true}) {
    Tensor x = random(rng, {4, 7}), w = random(rng, {7}), dy = random(rng, {4, 7}), y = unset({4, 7}),
           rstd = unset({4});
    Tensor dresidual = residual ? random(rng, {4, 7}) : Tensor();
    auto loss = [&] {
      backend().rms_norm_forward(y, rstd, x, w, 1e-3);
      return dot(y, dy) + (residual ? dot(x, dresidual) : 0);
    };
    loss();
    Tensor dx = unset({4, 7}), dw = started({7});
    backend().rms_norm_backward(dx, dw, dy, dresidual, x, rstd, w);
    check_gradient("dx", x, values_of(dx), loss);
    check_gradient("dw", w, without_start(dw), loss);
    if (!residual) continue;
    const Values apart = values_of(dx);
    backend().rms_norm_backward(dresidual, dw, dy, dresidual, x, rstd, w);
    expect_same_bits(values_of(dresidual), apart, "dresidual is dx");
  }
}

TEST(Gradient, Rope) {
  Rng rng(5);
  Tensor table = rope_table(backend(), 20, 3), positions = int_tensor({0, 7, 19});
  for (RopeStyle style : {RopeStyle::kAdjacent, RopeStyle::kHalves}) {
    Tensor x = random(rng, {3, 2, 9}), dy = random(rng, {3, 2, 9}), y = unset({3, 2, 9}), dx = unset({3, 2, 9});
    backend().rope(dx, dy, positions, table, 2, style, true);
    check_gradient("dx", x, values_of(dx), [&] {
      backend().rope(y, x, positions, table, 2, style, false);
      return dot(y, dy);
    });
  }
}

TEST(Gradient, Swiglu) {
  Rng rng(6);
  Tensor gate_up = random(rng, {5, 6}, 3), dy = random(rng, {5, 3}), y = unset({5, 3}), dgate_up = unset({5, 6});
  backend().swiglu_backward(dgate_up, dy, gate_up);
  check_gradient("dgate_up", gate_up, values_of(dgate_up), [&] {
    backend().swiglu_forward(y, gate_up);
    return dot(y, dy);
  });
}

struct AttentionForm {
  int64_t heads, key_heads, nope, rope, value;
  int64_t window = 0;
};

// MHA, GQA, MQA, MLA (keys and values are parts of one tensor, one rotary key for all heads), widths of 1.
TEST(Gradient, Attention) {
  Rng rng(7);
  for (const AttentionForm& f :
       {AttentionForm{2, 2, 3, 0, 3}, {4, 2, 3, 0, 5}, {3, 1, 4, 0, 2, 3}, {3, 3, 3, 2, 4, 2}, {1, 1, 1, 0, 1}}) {
    const std::vector<int32_t> bounds = {0, 0, 4, 4, 5, 11, 11};
    const int64_t n = bounds.back();
    Tensor kv = random(rng, {n, f.key_heads, f.nope + f.value}), dkv = unset(kv.shape());
    AttentionArgs args;
    args.q = random(rng, {n, f.heads, f.nope + f.rope});
    args.k = kv.slice(2, 0, f.nope);
    args.v = kv.slice(2, f.nope, f.nope + f.value);
    if (f.rope) args.k_rope = random(rng, {n, f.rope});
    args.segments = int_tensor(bounds);
    args.scale = 0.7;
    args.sight.window = f.window;
    Tensor dout = random(rng, {n, f.heads, f.value}), out = unset(dout.shape()), lse = unset({n, f.heads});
    auto loss = [&] {
      backend().attention_forward(out, lse, args);
      return dot(out, dout);
    };
    loss();
    Tensor dq = unset(args.q.shape()), dk_rope = f.rope ? unset({n, f.rope}) : Tensor();
    backend().attention_backward(dq, dkv.slice(2, 0, f.nope), dk_rope, dkv.slice(2, f.nope, f.nope + f.value), dout,
                                 out, lse, args);
    check_gradient("dq", args.q, values_of(dq), loss);
    check_gradient("dkv", kv, values_of(dkv), loss);
    if (f.rope) check_gradient("dk_rope", args.k_rope, values_of(dk_rope), loss);
  }
}

std::vector<GateArgs> gates() {
  using S = GateArgs::Score;
  using G = GateArgs::GroupScore;
  std::vector<GateArgs> all;
  for (S score : {S::kSoftmax, S::kSigmoid})
    for (bool normalize : {false, true}) {
      all.push_back({score, G::kTopTwoSum, 1, 1, 3, normalize, 1});
      all.push_back({score, G::kTopTwoSum, 4, 2, 3, normalize, 2.5});
      all.push_back({score, G::kMax, 2, 1, 1, normalize, 16});
      all.push_back({score, G::kMax, 1, 1, 8, normalize, 1});
    }
  return all;
}

// The choice of experts is held (replayed): it has no gradient.
TEST(Gradient, Gate) {
  Rng rng(8);
  for (const GateArgs& args : gates()) {
    const int64_t n = 5, k = args.experts_per_token;
    Tensor logits = random(rng, {n, 8}), bias = random(rng, {8}), dweights = random(rng, {n, k});
    Tensor weights = unset({n, k}), scores = unset({n, 8}), dlogits = unset({n, 8});
    Tensor experts = int_tensor(std::vector<int32_t>(size_t(n * k))).view({n, k});
    backend().gate_forward(weights, experts, scores, logits, bias, false, args);
    backend().gate_backward(dlogits, dweights, weights, experts, scores, args);
    check_gradient("dlogits", logits, values_of(dlogits), [&] {
      backend().gate_forward(weights, experts, scores, logits, bias, true, args);
      return dot(weights, dweights);
    });
  }
}

TEST(Gradient, BalanceLoss) {
  Rng rng(9);
  for (GateArgs::Score score : {GateArgs::Score::kSoftmax, GateArgs::Score::kSigmoid}) {
    GateArgs args;
    args.score = score;
    args.experts_per_token = 2;
    Tensor segments = int_tensor({0, 0, 3, 3, 4, 9}), logits = random(rng, {9, 5}), weights = unset({9, 2});
    Tensor scores = unset({9, 5}), loss = unset({1}), dlogits = unset({9, 5}),
           dloss = full(backend(), DType::kF64, {1}, -1.3);
    Tensor experts = int_tensor(std::vector<int32_t>(18)).view({9, 2});
    backend().gate_forward(weights, experts, scores, logits, {}, false, args);
    backend().balance_loss_backward(dlogits, dloss, scores, experts, segments, score);
    check_gradient("dlogits", logits, values_of(dlogits), [&] {
      backend().gate_forward(weights, experts, scores, logits, {}, true, args);
      backend().balance_loss_forward(loss, scores, experts, segments);
      return dot(loss, dloss);
    });
  }
}

// gather_rows back is combine without weights; combine back is its own operation.
TEST(Gradient, DispatchAndCombine) {
  Rng rng(10);
  Tensor experts = int_tensor({0, 3, 1, 3, 0, 1, 1, 2}).view({4, 2});
  Tensor row_of = int_tensor(std::vector<int32_t>(8)).view({4, 2}), token_of = int_tensor(std::vector<int32_t>(8));
  Tensor offsets = int_tensor(std::vector<int32_t>(6));
  backend().sort_by_expert(row_of, token_of, offsets, experts);

  Tensor x = random(rng, {4, 3}), gathered = unset({8, 3}), dgathered = random(rng, {8, 3}), dx = unset({4, 3});
  backend().combine_forward(dx, dgathered, {}, row_of);
  check_gradient("gather dx", x, values_of(dx), [&] {
    backend().gather_rows(gathered, x, token_of);
    return dot(gathered, dgathered);
  });

  Tensor e = random(rng, {8, 3}), weights = random(rng, {4, 2}), y = unset({4, 3}), dy = random(rng, {4, 3});
  Tensor de = unset({8, 3}), dweights = unset({4, 2});
  auto loss = [&] {
    backend().combine_forward(y, e, weights, row_of);
    return dot(y, dy);
  };
  backend().combine_backward(de, dweights, dy, e, weights, row_of);
  check_gradient("combine dx", e, values_of(de), loss);
  check_gradient("dweights", weights, values_of(dweights), loss);
}

TEST(Gradient, Logprobs) {
  Rng rng(11);
  Tensor logits = random(rng, {5, 7}, 2), targets = int_tensor({3, -1, 0, 6, 3}), dlogprobs = random(rng, {5});
  Tensor logprobs = unset({5}), lse = unset({5});
  auto loss = [&] {
    backend().logprobs_forward(logprobs, lse, {}, logits, targets);
    return dot(logprobs, dlogprobs);
  };
  loss();
  EXPECT_EQ(values_of(logprobs)[1], 0);
  Tensor dlogits = tensor_of(backend(), DType::kF64, {5, 7}, values_of(logits));
  backend().logprobs_backward(dlogits, dlogprobs, lse, targets, Tensor(), 0);
  check_gradient("dlogits", logits, values_of(dlogits), loss);
}

}  // namespace
}  // namespace tenth::testing
