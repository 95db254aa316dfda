#include "ops/logprobs.h"

#include <algorithm>

#include "ops/linear.h"

namespace tenth::ops {
namespace {

constexpr int64_t kChunkElements = int64_t(1) << 22;  // 16 MB of f32 logits at a time

}  // namespace

int64_t logprob_chunk_rows(int64_t vocabulary) {
  return std::max<int64_t>(16, kChunkElements / std::max<int64_t>(1, vocabulary));
}

TokenLogprobs linear_logprobs(const Var& x, Weight& w, const Tensor& targets, const LogprobOptions& options) {
  const Tensor& h = x.value();
  Backend& backend = backend_of(h);
  const DType statistics = gradient_type(h.dtype());
  const int64_t tokens = h.dim(0), vocabulary = w.shape[0], step = logprob_chunk_rows(vocabulary);
  const double cooling = 1 / options.temperature, z_weight = options.z_weight;
  Tensor logprobs = Tensor::make(backend, statistics, {tokens}), lse = Tensor::make(backend, statistics, {tokens});
  Tensor entropy = options.with_entropy ? Tensor::make(backend, statistics, {tokens}) : Tensor();
  for (int64_t begin = 0; begin < tokens; begin += step) {
    const int64_t end = std::min(tokens, begin + step);
    Tensor logits = Tensor::make(backend, statistics, {end - begin, vocabulary});
    multiply(logits, h.slice(0, begin, end), w, Tensor(), Tensor());
    if (cooling != 1) backend.scale(logits, logits, cooling);
    backend.logprobs_forward(logprobs.slice(0, begin, end), lse.slice(0, begin, end),
                             options.with_entropy ? entropy.slice(0, begin, end) : Tensor(), logits,
                             targets.slice(0, begin, end));
  }
  Var out = record(logprobs, x.needs_gradient() || w.trained(), [=, x = x.kept(), &w](const Tensor& dlogprobs) {
    Backend& backend = backend_of(dlogprobs);
    Tensor dx = Tensor::make(backend, x.value().dtype(), x.value().shape());
    Tensor dlse = z_weight != 0 ? Tensor::make(backend, statistics, {tokens}) : Tensor();
    if (dlse) backend.scale(dlse, lse, 2 * z_weight);
    for (int64_t begin = 0; begin < tokens; begin += step) {
      const int64_t end = std::min(tokens, begin + step);
      const Tensor rows = x.value().slice(0, begin, end);
      Tensor logits = Tensor::make(backend, statistics, {end - begin, vocabulary});
      multiply(logits, rows, w, Tensor(), Tensor());
      if (cooling != 1) backend.scale(logits, logits, cooling);
      backend.logprobs_backward(logits, dlogprobs.slice(0, begin, end), lse.slice(0, begin, end),
                                targets.slice(0, begin, end), dlse ? dlse.slice(0, begin, end) : Tensor());
      if (cooling != 1) backend.scale(logits, logits, cooling);
      Tensor dlogits = logits;
      if (rows.dtype() != statistics) {  // products of one type are the fast ones
        dlogits = Tensor::make(backend, rows.dtype(), logits.shape());
        backend.copy(dlogits, logits);
      }
      backend.linear_backward_input(dx.slice(0, begin, end), dlogits, w.compute, Tensor());
      if (w.trained()) w.add_product(nullptr, dlogits, rows, Tensor());
    }
    x.add_gradient(dx);
  });
  return {out, entropy, lse};
}

}  // namespace tenth::ops
