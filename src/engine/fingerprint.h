// What a model's keys and values follow from, apart from the tokens.
#pragma once
#include "base/hash.h"
#include "nn/transformer.h"

namespace tenth {

struct ModelFingerprint {
  // Changes with any bit of the weights as they lie in memory, the config, the arithmetic, this program, and the
  // machine, as far as it computes differently: the model is run on a few tokens and what comes out is hashed too.
  Hash128 hash;
  double token_seconds = 0;  // that computing one took, of those few
};

// Takes a reading of the weights: 0.1 s a GB.
ModelFingerprint fingerprint_of(Transformer& model);

}  // namespace tenth
