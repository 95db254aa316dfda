// What training a model takes of memory, from its shapes alone: reference training.md, section 4, for what the ops of
// this program record on the tape.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "nn/config.h"

namespace tenth {

struct MemoryPlan {
  int64_t batch_tokens = 0;  // of one batch; accumulated batches take turns
  int64_t context = 0;       // longest sequence
  DType compute = DType::kF32;
  bool muon = true;  // for matrices: one moment; AdamW has two
  bool mtp = true;   // whether the multi-token prediction module, if there is one, is trained
  int threads = 1;
  bool recompute = false;    // of norms, MLA's up-projections, SwiGLU (Tape)
  bool checkpoints = false;  // are written during the stage, not at its end alone
};

struct MemoryLine {
  std::string what;
  int64_t count = 1;  // layers of this kind
  double bytes = 0;   // of all of them
};

// Bytes of the pool's blocks (block_bytes): what tensors really take.
struct MemoryPrediction {
  // From step to step: parameters, compute copies, packed weights, gradients, moments, rotary table.
  std::vector<MemoryLine> state;
  // From the forward pass until the backward pass has used them, by kind of layer.
  std::vector<MemoryLine> activations;
  // At most one of these at a time: the first on top of all activations, the others without any.
  double in_flight = 0;              // a chunk of logits, or the gradients inside the last layer
  double muon_workspace = 0;         // while the optimizer steps
  double checkpoint = 0;             // copy of parameters and moments while it is written
  bool checkpoints_between = false;  // while steps go on, too: then the copy comes on top of the others

  double state_bytes() const;
  double activation_bytes() const;
  double peak() const;  // state, and the largest of these
};

MemoryPrediction predict_memory(const ModelConfig& config, const MemoryPlan& plan);

}  // namespace tenth
