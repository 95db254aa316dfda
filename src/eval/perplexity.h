// Perplexity of a text by llama.cpp's protocol (tools/perplexity), so that both can be compared on one file: the text's
// tokens are cut into chunks, each is read from nothing, and the tokens of its second half are scored.
#pragma once
#include <functional>
#include <optional>
#include <span>

#include "nn/transformer.h"

namespace tenth {

struct PerplexityOptions {
  int64_t context = 512;            // tokens of a chunk
  int64_t chunks = 0;               // at most; 0: as many as are whole
  std::optional<int32_t> bos = {};  // takes the place of each chunk's first token
  std::function<void(int64_t chunks, int64_t all, double perplexity)> progress = {};  // after each batch of chunks
};

struct PerplexityResult {
  double perplexity = 0, standard_error = 0;  // of the mean, carried over: perplexity sqrt(variance / (scored - 1))
  double loss = 0;                            // nats a token
  int64_t chunks = 0, scored = 0;
};

// Position i of a chunk is scored on token i + 1 for i = context / 2 … context - 2. Throws kInput for fewer tokens than
// a chunk or a chunk beyond the model's context, kNumeric where a probability is not finite.
PerplexityResult perplexity(Transformer& model, std::span<const int32_t> ids, const PerplexityOptions& options);

}  // namespace tenth
