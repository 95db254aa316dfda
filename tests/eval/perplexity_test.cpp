// Perplexity against its definition, from logits one chunk at a time.
#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "checkpoint/safetensors_files.h"
#include "nn/tiny_models.h"

namespace tenth::testing {
namespace {

Backend& cpu() { return get_backend("cpu"); }

std::vector<int32_t> some_ids(size_t count, int64_t vocabulary) {
  std::vector<int32_t> ids;
  Rng rng(3, 1);
  for (size_t i = 0; i < count; i++) ids.push_back(int32_t(rng.uniform() * double(vocabulary)));
  return ids;
}

// Negative log-probabilities of the second half of each chunk.
std::vector<double> losses(Transformer& model, std::vector<int32_t> ids, int64_t context, int64_t chunks, int32_t bos) {
  std::vector<double> all;
  const int64_t vocabulary = model.config().vocab_size;
  for (int64_t c = 0; c < chunks; c++) {
    std::vector<int32_t> chunk(ids.begin() + c * context, ids.begin() + (c + 1) * context);
    if (bos >= 0) chunk[0] = bos;
    const Values logits = values_of(full_logits(model, chunk, std::vector{int32_t(context)}));
    for (int64_t i = context / 2; i < context - 1; i++) {
      const double* row = logits.data() + i * vocabulary;
      double sum = 0;
      for (int64_t v = 0; v < vocabulary; v++) sum += std::exp(row[v]);
      all.push_back(std::log(sum) - row[chunk[size_t(i) + 1]]);
    }
  }
  return all;
}

TEST(Perplexity, IsThatOfTheSecondHalves) {
  const auto model = tiny_model("mla", cpu(), DType::kF32);
  const std::vector<int32_t> ids = some_ids(16 * 9 + 5, model->config().vocab_size);
  for (const int32_t bos : {-1, 2}) {
    PerplexityOptions options{.context = 16};
    if (bos >= 0) options.bos = bos;
    const PerplexityResult got = perplexity(*model, ids, options);
    const std::vector<double> want = losses(*model, ids, 16, 9, bos);
    double mean = 0, variance = 0;
    for (const double one : want) mean += one / double(want.size());
    for (const double one : want) variance += (one - mean) * (one - mean) / double(want.size());
    EXPECT_EQ(got.chunks, 9);
    EXPECT_EQ(got.scored, 9 * 7);
    EXPECT_NEAR(got.loss, mean, 1e-5);
    EXPECT_NEAR(got.perplexity, std::exp(mean), 1e-5 * std::exp(mean));
    EXPECT_NEAR(got.standard_error, std::exp(mean) * std::sqrt(variance / double(want.size() - 1)), 1e-4);
  }
  EXPECT_EQ(perplexity(*model, ids, {.context = 16, .chunks = 2}).scored, 14);
}

TEST(Perplexity, RefusesWhatItCannotScore) {
  const auto model = tiny_model("gqa", cpu(), DType::kF32);
  const std::vector<int32_t> ids = some_ids(40, model->config().vocab_size);
  error_of(ErrorKind::kInput, [&] { perplexity(*model, ids, {.context = 64}); });
  error_of(ErrorKind::kInput, [&] { perplexity(*model, ids, {.context = 3}); });
  error_of(ErrorKind::kInput, [&] { perplexity(*model, ids, {.context = 1 << 20}); });
}

}  // namespace
}  // namespace tenth::testing
