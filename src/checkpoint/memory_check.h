// Whether a model fits in memory: asked before its weights are read.
#pragma once
#include "checkpoint/weight_source.h"
#include "nn/transformer.h"

namespace tenth {

// Bytes of the key-value cache of one sequence, MLA's in its latent form.
int64_t cache_bytes(const ModelConfig& config, DType type, int64_t tokens);

// A frozen model: its weights in the form in which they will be held, and a cache for its context, of 4,096 tokens at
// most. One that has its weights to train: those, their copies in the compute type, and what products read. Throws
// kInput where that is more than `available` bytes, with the figures and the smallest change with which it would fit.
void require_memory(Transformer& model, const WeightSource& source, const Path& path, int64_t available);
void require_memory_to_train(const ModelConfig& config, const ComputeType& compute, const Path& path,
                             int64_t available);

}  // namespace tenth
