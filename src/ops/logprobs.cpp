#include "ops/logprobs.h"

#include <algorithm>
#include <utility>

#include "ops/linear.h"

namespace tenth::ops {
namespace {

constexpr int64_t kChunkElements = int64_t(1) << 22;  // 16 MB of f32 logits at a time
constexpr int64_t kLeastColumns = 512;                // what a product sums at a time anyway
// The weight's gradient is read and written once for each chunk of rows: rows enough that the products take longer.
constexpr int64_t kLeastRowsWithGradient = 512;

int64_t forward_rows(int64_t vocabulary, bool with_gradient) {
  const int64_t rows = kChunkElements / std::max<int64_t>(1, vocabulary);
  return std::max(rows, with_gradient ? kLeastRowsWithGradient : 16);
}

// A block of logits, kChunkElements at most: all rows with as many columns as fit, kLeastColumns at least.
struct Block {
  int64_t rows, columns;
};
Block gradient_block(int64_t tokens, int64_t vocabulary) {
  const int64_t rows = std::clamp<int64_t>(tokens, 1, kChunkElements / kLeastColumns);
  const int64_t columns = kChunkElements / rows / kLeastColumns * kLeastColumns;
  return {rows, std::min(vocabulary, columns)};
}

Tensor converted(const Tensor& x, DType type) {
  if (x.dtype() == type && x.contiguous()) return x;
  Tensor y = Tensor::make(backend_of(x), type, x.shape());
  backend_of(x).copy(y, x);
  return y;
}

// What the gradients are made of: all N rows.
struct Head {
  Tensor x, targets, dlogprobs, lse, dlse;  // dlse: or not defined
  double cooling;

  Head rows(int64_t begin, int64_t end) const {
    return {x.slice(0, begin, end),
            targets.slice(0, begin, end),
            dlogprobs.slice(0, begin, end),
            lse.slice(0, begin, end),
            dlse ? dlse.slice(0, begin, end) : dlse,
            cooling};
  }
};

// Turns logits of some rows and columns from `first` on into their gradient, and adds its products: dx, which is
// assigned by the first columns, and the weight's.
void add_gradients(const Tensor& logits, const Head& head, int64_t first, const Tensor& dx, Weight& w, bool assign) {
  Backend& backend = backend_of(logits);
  const int64_t last = first + logits.dim(1);
  backend.logprobs_backward(logits, head.dlogprobs, head.lse, head.targets, head.dlse, first);
  if (head.cooling != 1) backend.scale(logits, logits, head.cooling);
  const Tensor dlogits = converted(logits, head.x.dtype());  // products of one type are the fast ones
  backend.linear_backward_input(dx, dlogits, w.compute.slice(0, first, last), Tensor(), first == 0);
  if (w.trained())
    backend.linear_backward_weight(w.grad.slice(0, first, last), Tensor(), dlogits, head.x, Tensor(), assign);
}

// Makes the logits again. It knows lse and so can go by columns: each row of the weight's gradient is written once.
Tensor gradients_by_columns(const Head& head, Weight& w) {
  Backend& backend = backend_of(head.x);
  const int64_t tokens = head.x.dim(0), vocabulary = w.shape[0];
  const DType statistics = gradient_type(head.x.dtype());
  Tensor dx = Tensor::make(backend, statistics, head.x.shape());
  const bool assign = w.trained() && std::exchange(w.grad_is_zero, false);
  const Block block = gradient_block(tokens, vocabulary);
  for (int64_t first = 0; first < vocabulary; first += block.columns) {
    const int64_t last = std::min(vocabulary, first + block.columns);
    const Tensor part = w.compute.slice(0, first, last), packed = backend.pack_weight(part);
    for (int64_t begin = 0; begin < tokens; begin += block.rows) {
      const int64_t end = std::min(tokens, begin + block.rows);
      const Head rows = head.rows(begin, end);
      Tensor logits = Tensor::make(backend, statistics, {end - begin, last - first});
      backend.linear_forward(logits, rows.x, part, packed, Tensor(), Tensor());
      if (head.cooling != 1) backend.scale(logits, logits, head.cooling);
      add_gradients(logits, rows, first, dx.slice(0, begin, end), w, assign && begin == 0);
    }
  }
  return dx;
}

}  // namespace

int64_t logits_at_a_time(int64_t tokens, int64_t vocabulary) {
  return std::min(tokens, forward_rows(vocabulary, true)) * vocabulary;
}

int64_t logit_gradients_at_a_time(int64_t tokens, int64_t vocabulary) {
  const Block block = gradient_block(std::min(tokens, forward_rows(vocabulary, true)), vocabulary);
  return block.rows * block.columns;
}

TokenLogprobs linear_logprobs(const Var& x, Weight& w, const Tensor& targets, const LogprobOptions& options) {
  const Tensor& h = x.value();
  Backend& backend = backend_of(h);
  const DType type = h.dtype(), statistics = gradient_type(type);
  const bool wanted = Tape::active() && (x.needs_gradient() || w.trained()), known = wanted && options.dlogprobs;
  const int64_t tokens = h.dim(0), vocabulary = w.shape[0], step = forward_rows(vocabulary, known);
  Tensor logprobs = Tensor::make(backend, statistics, {tokens}), lse = Tensor::make(backend, statistics, {tokens});
  Tensor entropy = options.with_entropy ? Tensor::make(backend, statistics, {tokens}) : Tensor();
  const double z_weight = options.z_weight;
  const double cooling = 1 / options.temperature;
  Head head{h, targets, options.dlogprobs, lse, {}, cooling};
  if (known && z_weight != 0) head.dlse = Tensor::make(backend, statistics, {tokens});
  Tensor dx = known ? Tensor::make(backend, statistics, h.shape()) : Tensor();
  const bool assign = known && w.trained() && std::exchange(w.grad_is_zero, false);
  for (int64_t begin = 0; begin < tokens; begin += step) {
    const int64_t end = std::min(tokens, begin + step);
    Tensor logits = Tensor::make(backend, statistics, {end - begin, vocabulary});
    multiply(logits, h.slice(0, begin, end), w, Tensor(), Tensor());
    if (cooling != 1) backend.scale(logits, logits, cooling);
    backend.logprobs_forward(logprobs.slice(0, begin, end), lse.slice(0, begin, end),
                             options.with_entropy ? entropy.slice(0, begin, end) : Tensor(), logits,
                             targets.slice(0, begin, end));
    if (!known) continue;
    const Head rows = head.rows(begin, end);
    if (rows.dlse) backend.scale(rows.dlse, rows.lse, 2 * z_weight);
    const int64_t columns = gradient_block(end - begin, vocabulary).columns;
    for (int64_t first = 0; first < vocabulary; first += columns)
      add_gradients(logits.slice(1, first, std::min(vocabulary, first + columns)), rows, first, dx.slice(0, begin, end),
                    w, assign && begin == 0);
  }
  if (known) {
    const Tensor expected = options.dlogprobs, gradient = converted(dx, type);
    const Var out = record(logprobs, true, [=, x = x.without_value()](const Tensor& dlogprobs) {
      require(dlogprobs.raw() == expected.raw(), ErrorKind::kInternal,
              "the gradient of log-probabilities is another than was given beforehand");
      x.add_gradient(gradient);
    });
    return {out, entropy, lse};
  }
  const Var out = record(logprobs, wanted, [=, x = x.kept(), &w](const Tensor& dlogprobs) {
    Tensor dlse = z_weight != 0 ? Tensor::make(backend_of(lse), statistics, {tokens}) : Tensor();
    if (dlse) backend_of(lse).scale(dlse, lse, 2 * z_weight);
    x.add_gradient(converted(gradients_by_columns({x.value(), targets, dlogprobs, lse, dlse, cooling}, w), type));
  });
  return {out, entropy, lse};
}

}  // namespace tenth::ops
