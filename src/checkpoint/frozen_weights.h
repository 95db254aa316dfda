// The matrices of a model that only runs, each in the one form that its kernels read.
#pragma once
#include "checkpoint/weight_source.h"
#include "nn/transformer.h"

namespace tenth {

// Loads the matrices of a frozen model (ComputeType::frozen), one after the other, so that no more than the largest is
// in memory twice. Matrices whose parts all lie in blocks stay so where the compute type says keep_blocks.
void load_frozen_weights(Transformer& model, const WeightSource& source);

// How matrices are held: in this type, or, with keep_blocks, in blocks where their source has them so. in_blocks: as if
// it had every matrix that this program writes in blocks in that format.
struct WeightForm {
  DType dense = DType::kF32;
  bool keep_blocks = false;
  std::optional<BlockFormat> in_blocks = {};
};
// Bytes of all weights of a frozen model in such a form, but for what kernels fill up at the ends of matrices.
int64_t frozen_weight_bytes(Transformer& model, const WeightSource& source, const WeightForm& form);
// What Transformer::cache_type will be.
DType frozen_cache_type(Transformer& model, const WeightSource& source, const WeightForm& form);

}  // namespace tenth
