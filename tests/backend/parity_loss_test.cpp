// Log-probabilities, entropy, and their gradient.
#include "backend/parity.h"

namespace tenth::testing {
namespace {

Tensor random_targets(Trial& t, int64_t n, int64_t vocabulary) {
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < n; i++) targets.push_back(i % 4 == 2 ? -1 : int32_t(t.rng().below(uint64_t(vocabulary))));
  return t.ints(targets);
}

// Differences of numbers of the size of the largest logit.
Values magnitudes(const Tensor& logits) {
  double largest = 1 + std::log(double(logits.dim(1)));
  for (double value : values_of(logits))
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  return Values(size_t(logits.dim(0)), largest);
}

TEST(ParityLogprobs, ForwardAndBackward) {
  for (Layout layout : {Layout::kAligned, Layout::kOffset})
    for (double size : {1.0, 30.0})
      for (auto [n, vocabulary] :
           {std::pair<int64_t, int64_t>{0, 5}, {1, 1}, {5, 7}, {3, 33}, {9, 1000}, {4, 4099}, {130, 64}}) {
        SCOPED_TRACE(text_of(DType::kF32, layout) + " N " + std::to_string(n) + " V " + std::to_string(vocabulary));
        check_parity(
            [&](Trial& t) {
              Tensor logits = t.in(DType::kF32, {n, vocabulary}, size), targets = random_targets(t, n, vocabulary);
              if (vocabulary > 8 && n > 1) write(logits, offset_of(logits, 6), -kInfinity);
              const Values scale = magnitudes(logits);
              Tensor logprobs = t.out(DType::kF32, {n}), lse = t.out(DType::kF32, {n}),
                     entropy = t.out(DType::kF32, {n});
              t.backend.logprobs_forward(logprobs, lse, entropy, logits, targets);
              t.result("logprobs", logprobs, {}, scale);
              t.result("lse", lse, {}, scale);
              t.result("entropy", entropy, {-1, 8e-6}, scale);
              t.backend.logprobs_forward(logprobs, lse, {}, logits, targets);
              t.result("without entropy", logprobs, {}, scale);
              Tensor dlogprobs = t.in(DType::kF32, {n}), dlse = t.in(DType::kF32, {n});
              const int64_t first = vocabulary / 3;  // columns from there on, as if they stood alone
              Values columns;
              const Values all = values_of(logits);
              for (int64_t i = 0; i < n * vocabulary; i++)
                if (i % vocabulary >= first) columns.push_back(all[size_t(i)]);
              Tensor some = t.in(DType::kF32, {n, vocabulary - first}, columns);
              t.backend.logprobs_backward(some, dlogprobs, lse, targets, dlse, first);
              t.result("some of dlogits", some, {size * 1e-6, 1e-6});
              t.backend.logprobs_backward(logits, dlogprobs, lse, targets, Tensor(), 0);
              // p = exp(z - lse) carries the rounding of lse.
              t.result("dlogits", logits, {size * 1e-6, 1e-6});
            },
            layout);
        if (HasFailure()) return;
      }
}

TEST(ParityLogprobs, NaNStaysInItsRow) {
  check_parity([](Trial& t) {
    Tensor logits = t.in(DType::kF32, {4, 37}), targets = t.ints({3, 5, 7, -1});
    write(logits, offset_of(logits, 37 + 20), kNaN);
    write(logits, offset_of(logits, 2 * 37 + 11), kInfinity);
    Tensor logprobs = t.out(DType::kF32, {4}), lse = t.out(DType::kF32, {4}), entropy = t.out(DType::kF32, {4});
    t.backend.logprobs_forward(logprobs, lse, entropy, logits, targets);
    t.result("logprobs", logprobs);
    // An infinite logit: lse is inf or NaN, in any case not finite.
    const Values got = values_of(lse);
    t.result("finite lse", double(std::isfinite(got[0]) && !std::isfinite(got[1]) && !std::isfinite(got[2]) &&
                                  std::isfinite(got[3])));
  });
}

TEST(ParityLogprobs, RowsAlone) {
  for (int64_t vocabulary : {1, 33, 1000}) {
    Trial t(subject(), Layout::kAligned, 3);
    Tensor logits = t.dense(DType::kF32, {33, vocabulary}), targets = random_targets(t, 33, vocabulary);
    for (bool second : {false, true})
      check_rows_alone(33, [&](int64_t begin, int64_t end) {
        Tensor logprobs = t.out(DType::kF32, {end - begin}), lse = t.out(DType::kF32, {end - begin});
        Tensor entropy = t.out(DType::kF32, {end - begin});
        t.backend.logprobs_forward(logprobs, lse, entropy, logits.slice(0, begin, end), targets.slice(0, begin, end));
        return values_of(second ? entropy : logprobs);
      });
    // Asking for the entropy does not change the log-probability.
    Tensor with = t.out(DType::kF32, {33}), without = t.out(DType::kF32, {33}), lse = t.out(DType::kF32, {33});
    t.backend.logprobs_forward(with, lse, t.out(DType::kF32, {33}), logits, targets);
    t.backend.logprobs_forward(without, lse, {}, logits, targets);
    expect_same_bits(values_of(with), values_of(without), "with and without entropy");
  }
}

}  // namespace
}  // namespace tenth::testing
