#include "ops/logprobs.h"

#include <algorithm>
#include <utility>

#include "ops/linear.h"

namespace tenth::ops {
namespace {

constexpr int64_t kChunkElements = int64_t(1) << 22;  // 16 MB of f32 logits at a time
constexpr int64_t kLeastColumns = 512;                // what a product sums at a time anyway

int64_t forward_rows(int64_t vocabulary) {
  return std::max<int64_t>(16, kChunkElements / std::max<int64_t>(1, vocabulary));
}

// The backward pass knows lse and so can go by columns: each row of the weight's gradient is then written once, where
// by rows of tokens all of it would be read and written for each chunk.
struct Chunk {
  int64_t rows, columns;
};
Chunk backward_chunk(int64_t tokens, int64_t vocabulary) {
  const int64_t rows = std::clamp<int64_t>(tokens, 1, kChunkElements / kLeastColumns);
  const int64_t columns = kChunkElements / rows / kLeastColumns * kLeastColumns;
  return {rows, std::min(vocabulary, columns)};
}

Tensor converted(const Tensor& x, DType type) {
  if (x.dtype() == type) return x;
  Tensor y = Tensor::make(backend_of(x), type, x.shape());
  backend_of(x).copy(y, x);
  return y;
}

}  // namespace

int64_t logits_at_a_time(int64_t tokens, int64_t vocabulary) {
  const Chunk backward = backward_chunk(tokens, vocabulary);
  return std::max(std::min(tokens, forward_rows(vocabulary)) * vocabulary, backward.rows * backward.columns);
}

TokenLogprobs linear_logprobs(const Var& x, Weight& w, const Tensor& targets, const LogprobOptions& options) {
  const Tensor& h = x.value();
  Backend& backend = backend_of(h);
  const DType statistics = gradient_type(h.dtype());
  const int64_t tokens = h.dim(0), vocabulary = w.shape[0], step = forward_rows(vocabulary);
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
    const DType type = x.value().dtype();
    Tensor dlse = z_weight != 0 ? Tensor::make(backend, statistics, {tokens}) : Tensor();
    if (dlse) backend.scale(dlse, lse, 2 * z_weight);
    Tensor dx = Tensor::make(backend, statistics, x.value().shape());
    const bool assign = w.trained() && std::exchange(w.grad_is_zero, false);
    const Chunk chunk = backward_chunk(tokens, vocabulary);
    for (int64_t first = 0; first < vocabulary; first += chunk.columns) {
      const int64_t last = std::min(vocabulary, first + chunk.columns);
      const Tensor part = w.compute.slice(0, first, last), packed = backend.pack_weight(part);
      for (int64_t begin = 0; begin < tokens; begin += chunk.rows) {
        const int64_t end = std::min(tokens, begin + chunk.rows);
        const Tensor rows = x.value().slice(0, begin, end);
        Tensor logits = Tensor::make(backend, statistics, {end - begin, last - first});
        backend.linear_forward(logits, rows, part, packed, Tensor(), Tensor());
        if (cooling != 1) backend.scale(logits, logits, cooling);
        backend.logprobs_backward(logits, dlogprobs.slice(0, begin, end), lse.slice(0, begin, end),
                                  targets.slice(0, begin, end), dlse ? dlse.slice(0, begin, end) : Tensor(), first);
        if (cooling != 1) backend.scale(logits, logits, cooling);
        const Tensor dlogits = converted(logits, type);  // products of one type are the fast ones
        backend.linear_backward_input(dx.slice(0, begin, end), dlogits, part, Tensor(), first == 0);
        if (w.trained())
          backend.linear_backward_weight(w.grad.slice(0, first, last), Tensor(), dlogits, rows, Tensor(),
                                         assign && begin == 0);
      }
    }
    x.add_gradient(converted(dx, type));
  });
  return {out, entropy, lse};
}

}  // namespace tenth::ops
