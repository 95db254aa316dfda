#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>

#include "ops/logprobs.h"

namespace tenth {
namespace {

constexpr int64_t kTokensAtOnce = 2048;

// Log-probabilities of the scored tokens of chunks that lie end to end.
std::vector<float> scored_logprobs(Transformer& model, const std::vector<int32_t>& ids, int64_t context) {
  NoGrad off;
  Backend& backend = model.backend();
  std::vector<int32_t> targets(ids.size(), -1), lengths(ids.size() / size_t(context), int32_t(context));
  for (size_t begin = 0; begin < ids.size(); begin += size_t(context)) {
    for (int64_t i = context / 2; i < context - 1; i++) targets[begin + size_t(i)] = ids[begin + size_t(i) + 1];
  }
  Pass pass;
  pass.batch = make_batch(backend, ids, lengths);
  const Var hidden = model.hidden(pass);
  const Tensor all = ops::linear_logprobs(hidden, model.head(), Tensor::from_host(backend, targets)).logprobs.value();
  Tensor values = Tensor::make(backend, DType::kF32, all.shape());
  backend.copy(values, all);
  const std::vector<float> host = values.to_host<float>();
  std::vector<float> scored;
  for (size_t i = 0; i < host.size(); i++) {
    if (targets[i] >= 0) scored.push_back(host[i]);
  }
  return scored;
}

}  // namespace

PerplexityResult perplexity(Transformer& model, std::span<const int32_t> ids, const PerplexityOptions& options) {
  const int64_t context = options.context, most = model.config().max_position_embeddings;
  require(context >= 4 && context <= most, ErrorKind::kInput, "--context: expected 4 … {}, the model's context, got {}",
          most, context);
  int64_t chunks = int64_t(ids.size()) / context;
  require(chunks >= 1, ErrorKind::kInput, "expected a text of at least {} tokens, got {}", context, ids.size());
  if (options.chunks > 0) chunks = std::min(chunks, options.chunks);
  const int64_t at_once = std::max(int64_t(1), kTokensAtOnce / context);
  double sum = 0, squares = 0;
  PerplexityResult result;
  while (result.chunks < chunks) {
    const int64_t count = std::min(at_once, chunks - result.chunks);
    const auto part = ids.subspan(size_t(result.chunks * context), size_t(count * context));
    std::vector<int32_t> batch(part.begin(), part.end());
    for (int64_t c = 0; c < count && options.bos; c++) batch[size_t(c * context)] = *options.bos;
    for (const float logprob : scored_logprobs(model, batch, context)) {
      require(std::isfinite(logprob), ErrorKind::kNumeric, "the log-probability of a token in chunk {} … {} is {}",
              result.chunks, result.chunks + count - 1, logprob);
      sum -= double(logprob);
      squares += double(logprob) * double(logprob);
      result.scored++;
    }
    result.chunks += count;
    result.loss = sum / double(result.scored);
    result.perplexity = std::exp(result.loss);
    if (options.progress) options.progress(result.chunks, chunks, result.perplexity);
  }
  const double n = double(result.scored), variance = squares / n - result.loss * result.loss;
  if (variance > 0 && n > 1) result.standard_error = result.perplexity * std::sqrt(variance / (n - 1));
  return result;
}

}  // namespace tenth
