// The matrices of a model that only runs, each in the one form that its kernels read.
#pragma once
#include "checkpoint/weight_source.h"
#include "nn/transformer.h"

namespace tenth {

// Loads the matrices of a frozen model (ComputeType::frozen), one after the other, so that no more than the largest is
// in memory twice. Matrices whose parts all lie in blocks stay so where the compute type says keep_blocks.
void load_frozen_weights(Transformer& model, const WeightSource& source);

}  // namespace tenth
