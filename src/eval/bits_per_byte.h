// Bits per byte of text: bpb = sum of the tokens' negative log-likelihoods / (ln 2 x UTF-8 bytes of the text). Unlike
// the loss a token it compares models of different vocabularies.
#pragma once
#include "data/token_mixture.h"
#include "nn/transformer.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

struct TextScore {
  double bits_per_byte = 0;
  double loss = 0;     // nats a token
  int64_t tokens = 0;  // scored
  int64_t bytes = 0;   // of these tokens; special tokens have none
};

// Scores the first rows (at most those of an epoch) of text that is packed without shuffling, where each token but a
// document's first is a target once. A token sees at most the text's context before it.
TextScore score_text(Transformer& model, const Tokenizer& tokenizer, const TokenMixture& text, int64_t rows);

}  // namespace tenth
