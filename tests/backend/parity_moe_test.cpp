// The router, the balance loss, and the way of tokens to experts and back.
#include "backend/parity.h"

namespace tenth::testing {
namespace {

struct Router {
  int64_t experts;
  GateArgs args;
};

std::vector<Router> routers() {
  using S = GateArgs::Score;
  using G = GateArgs::GroupScore;
  return {{1, {S::kSoftmax, G::kMax, 1, 1, 1, false, 1}},      {2, {S::kSigmoid, G::kTopTwoSum, 1, 1, 1, true, 2.5}},
          {7, {S::kSigmoid, G::kTopTwoSum, 1, 1, 3, true, 1}}, {8, {S::kSoftmax, G::kMax, 4, 2, 3, false, 16}},
          {16, {S::kSoftmax, G::kMax, 1, 1, 2, true, 1}},      {16, {S::kSigmoid, G::kTopTwoSum, 4, 2, 4, true, 2.5}},
          {33, {S::kSoftmax, G::kMax, 1, 1, 33, false, 1}},    {64, {S::kSoftmax, G::kMax, 1, 1, 6, false, 1}},
          {160, {S::kSoftmax, G::kMax, 8, 3, 6, false, 16}},   {256, {S::kSigmoid, G::kTopTwoSum, 8, 4, 8, true, 2.5}},
          {12, {S::kSigmoid, G::kMax, 3, 1, 2, false, 0.5}}};
}

std::string text_of(const Router& r) {
  return std::string(r.args.score == GateArgs::Score::kSoftmax ? "softmax" : "sigmoid") + " E " +
         std::to_string(r.experts) + " K " + std::to_string(r.args.experts_per_token) + " groups " +
         std::to_string(r.args.groups_kept) + "/" + std::to_string(r.args.groups);
}

template <class Body>
void each_router(const Body& body) {
  for (int64_t n : {0, 1, 5, 83})
    for (const Router& router : routers()) {
      SCOPED_TRACE(text_of(router) + " N " + std::to_string(n));
      body(n, router);
      if (::testing::Test::HasFailure()) return;
    }
}

struct Gated {
  Tensor weights, experts, scores;
};

Gated gate(Trial& t, const Tensor& logits, const Tensor& bias, const Router& r) {
  const int64_t n = logits.dim(0), k = r.args.experts_per_token;
  Gated g{t.dense_out(DType::kF32, {n, k}), t.dense_out(DType::kI32, {n, k}), t.dense_out(DType::kF32, {n, r.experts})};
  t.backend.gate_forward(g.weights, g.experts, g.scores, logits, bias, false, r.args);
  return g;
}

void report(Trial& t, const Gated& g) {
  t.result("experts", g.experts);
  t.result("scores", g.scores);
  t.result("weights", g.weights);
}

TEST(ParityGate, Forward) {
  each_router([](int64_t n, const Router& r) {
    for (double size : {0.1, 3.0})  // larger ones saturate: near ties
      for (double bias_size : {0.0, 0.3, 2.0})
        check_parity([&](Trial& t) {
          Tensor logits = t.dense(DType::kF32, {n, r.experts}, size);
          Tensor bias = bias_size > 0 ? t.dense(DType::kF32, {r.experts}, bias_size) : Tensor();
          report(t, gate(t, logits, bias, r));
        });
  });
}

// Few distinct logits: equal scores must be equal bits wherever they stand, and the lowest index wins.
TEST(ParityGate, Ties) {
  each_router([](int64_t n, const Router& r) {
    check_parity([&](Trial& t) {
      Values values(size_t(n * r.experts));
      for (double& value : values) value = double(t.rng().below(3)) - 1;
      report(t, gate(t, t.in(DType::kF32, {n, r.experts}, values), {}, r));
    });
  });
}

TEST(ParityGate, NaNGivesAValidChoice) {
  for (const Router& r : routers()) {
    SCOPED_TRACE(text_of(r));
    Trial t(subject(), Layout::kOffset, 1);
    Tensor logits = t.dense(DType::kF32, {3, r.experts}), bias = t.dense(DType::kF32, {r.experts});
    for (int64_t e = 0; e < r.experts; e++) write(logits, r.experts + e, kNaN);
    write(logits, 2 * r.experts + r.experts / 2, kNaN);
    const Values chosen = values_of(gate(t, logits, bias, r).experts);
    for (size_t i = 0; i < chosen.size(); i++) {
      EXPECT_GE(chosen[i], 0);
      EXPECT_LT(chosen[i], double(r.experts));
      if (i % size_t(r.args.experts_per_token) != 0) {
        EXPECT_GT(chosen[i], chosen[i - 1]) << "ascending, each once";
      }
    }
    t.check_guards();
  }
}

TEST(ParityGate, ReplayAndBackward) {
  each_router([](int64_t n, const Router& r) {
    const int64_t k = r.args.experts_per_token;
    check_parity([&](Trial& t) {
      std::vector<int32_t> choice;
      for (int64_t i = 0; i < n * k; i++) choice.push_back(int32_t(i % k * (r.experts / k)));
      Tensor experts = t.ints(choice).view({n, k});
      Tensor logits = t.dense(DType::kF32, {n, r.experts}), bias = t.dense(DType::kF32, {r.experts});
      Tensor weights = t.dense_out(DType::kF32, {n, k}), scores = t.dense_out(DType::kF32, {n, r.experts});
      t.backend.gate_forward(weights, experts, scores, logits, bias, true, r.args);
      report(t, {weights, experts, scores});
      Tensor dweights = t.dense(DType::kF32, {n, k}), dlogits = t.dense_out(DType::kF32, {n, r.experts});
      t.backend.gate_backward(dlogits, dweights, weights, experts, scores, r.args);
      t.result("dlogits", dlogits, {-1, 4e-6});
    });
  });
}

TEST(ParityGate, RowsAlone) {
  for (const Router& r : routers()) {
    SCOPED_TRACE(text_of(r));
    Trial t(subject(), Layout::kAligned, 2);
    Tensor logits = t.dense(DType::kF32, {41, r.experts}), bias = t.dense(DType::kF32, {r.experts});
    check_rows_alone(41, [&](int64_t begin, int64_t end) {
      return values_of(gate(t, logits.slice(0, begin, end), bias, r).weights);
    });
  }
}

TEST(ParityBalance, ForwardAndBackward) {
  for (const std::vector<int32_t>& bounds :
       {std::vector<int32_t>{0}, {0, 0}, {0, 1}, {0, 40}, {0, 0, 7, 8, 8, 60}, {0, 300, 601}})
    for (const Router& r : routers()) {
      if (r.experts > 64 && bounds.back() > 100) continue;
      SCOPED_TRACE(text_of(r) + " N " + std::to_string(bounds.back()));
      check_parity([&](Trial& t) {
        const int64_t n = bounds.back();
        Gated g;
        Tensor logits = t.dense(DType::kF32, {n, r.experts});
        g.weights = t.dense_out(DType::kF32, {n, r.args.experts_per_token});
        // The reference routes for both.
        Trial router(oracle(), Layout::kAligned, 1);
        Gated routed = gate(router, tensor_of(oracle(), DType::kF32, logits.shape(), values_of(logits)), {}, r);
        Tensor scores = tensor_of(t.backend, DType::kF32, logits.shape(), values_of(routed.scores));
        Tensor experts = tensor_of(t.backend, DType::kI32, g.weights.shape(), values_of(routed.experts));
        Tensor segments = t.ints(bounds), loss = t.dense_out(DType::kF32, {1}),
               dlogits = t.dense_out(DType::kF32, logits.shape());
        t.backend.balance_loss_forward(loss, scores, experts, segments);
        t.result("loss", loss);
        t.backend.balance_loss_backward(dlogits, t.dense(DType::kF32, {1}), scores, experts, segments, r.args.score);
        // With one expert, or all chosen, the gradient is 0 but for rounding.
        t.result("dlogits", dlogits, {-1, 4e-6}, Values(size_t(n * r.experts), n ? 1.0 / double(n) : 0));
      });
      if (HasFailure()) return;
    }
}

std::vector<int32_t> random_choice(Rng& rng, int64_t n, int64_t k, int64_t experts) {
  std::vector<int32_t> all;
  for (int64_t i = 0; i < n; i++) {
    std::vector<int32_t> order;
    for (int32_t e = 0; e < experts; e++) order.push_back(e);
    for (int64_t j = 0; j < k; j++) std::swap(order[size_t(j)], order[size_t(j) + rng.below(uint64_t(experts - j))]);
    std::sort(order.begin(), order.begin() + k);
    all.insert(all.end(), order.begin(), order.begin() + k);
  }
  return all;
}

TEST(ParityDispatch, SortGatherCombine) {
  for (DType dtype : kTypes)
    for (auto [n, k, experts, width] : {std::array<int64_t, 4>{0, 2, 4, 8},
                                        {1, 1, 1, 1},
                                        {1, 3, 256, 33},
                                        {7, 2, 5, 17},
                                        {64, 4, 16, 64},
                                        {200, 8, 33, 24},
                                        {33, 1, 9, 130}}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " N " + std::to_string(n) + " K " + std::to_string(k) + " E " +
                   std::to_string(experts) + " D " + std::to_string(width));
      check_parity(
          [&](Trial& t) {
            const int64_t rows = n * k;
            Tensor choice = t.ints(random_choice(t.rng(), n, k, experts)).view({n, k});
            Tensor row_of = t.dense_out(DType::kI32, {n, k}), token_of = t.dense_out(DType::kI32, {rows});
            Tensor offsets = t.dense_out(DType::kI32, {experts + 1});
            t.backend.sort_by_expert(row_of, token_of, offsets, choice);
            t.result("row_of", row_of);
            t.result("token_of", token_of);
            t.result("offsets", offsets);
            Tensor x = t.dense(dtype, {n, width}), gathered = t.dense_out(dtype, {rows, width});
            t.backend.gather_rows(gathered, x, token_of);
            t.result("gathered", gathered, {0, 0});
            Tensor e = t.dense(dtype, {rows, width}), weights = t.dense(DType::kF32, {n, k}),
                   y = t.dense_out(dtype, {n, width});
            t.backend.combine_forward(y, e, weights, row_of);
            t.result("combined", y);
            t.backend.combine_forward(y, e, {}, row_of);
            t.result("summed", y);
            Tensor dy = t.dense(dtype, {n, width}), de = t.dense_out(dtype, {rows, width});
            Tensor dweights = t.dense_out(DType::kF32, {n, k});
            t.backend.combine_backward(de, dweights, dy, e, weights, row_of);
            t.result("dx", de);
            t.result("dweights", dweights, {-1, 4e-6});
          },
          Layout::kOffset);
      if (HasFailure()) return;
    }
}

// A token gets the same bits whatever the other tokens are: its rows are the same, only elsewhere.
TEST(ParityDispatch, TokensAlone) {
  for (DType dtype : kTypes) {
    Trial t(subject(), Layout::kAligned, 4);
    const int64_t n = 37, k = 3, width = 29;
    Tensor experts = t.dense(dtype, {n * k, width}), weights = t.dense(DType::kF32, {n, k});
    check_rows_alone(n, [&](int64_t begin, int64_t end) {
      std::vector<int32_t> rows;
      for (int64_t i = (end - begin) * k; i-- > 0;) rows.push_back(int32_t(i));  // backwards
      Tensor x = t.dense_out(dtype, {(end - begin) * k, width}), y = t.dense_out(dtype, {end - begin, width});
      for (int64_t i = 0; i < (end - begin) * k; i++)
        set_values(x[(end - begin) * k - 1 - i], values_of(experts[begin * k + i]));
      t.backend.combine_forward(y, x, weights.slice(0, begin, end), t.ints(rows).view({end - begin, k}));
      return values_of(y);
    });
  }
}

}  // namespace
}  // namespace tenth::testing
