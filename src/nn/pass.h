// What one forward pass carries through the layers: the tokens, where they stand, the cache, and what the mixture of
// experts reports.
#pragma once
#include <span>
#include <vector>

#include "autograd/tape.h"

namespace tenth {

// Sequences laid end to end. N tokens in all.
struct Batch {
  Tensor ids;           // (N) i32
  Tensor positions;     // (N) i32
  Tensor segments;      // (S + 1) i32: where sequences begin
  Tensor slots;         // (N) i32: the cache slot of each token; not defined without a cache
  int64_t longest = 0;  // highest position + 1
};

// Whole sequences from position 0 on: for training, scoring, and prefill (with slots, one a sequence).
Batch make_batch(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> lengths,
                 std::span<const int32_t> slots = {});
// New tokens of running sequences: one entry of each list a token.
Batch make_step(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> positions,
                std::span<const int32_t> slots);

// Keys and values of past tokens, in one of two forms. MLA's own is the latent row [c ; k_rope], which decoding absorbs
// into the query: little memory. Expanded, each head's key and value: what grouped-query attention has, and for MLA the
// form whose decoding repeats the training pass bit by bit (rollouts of RL).
enum class CacheForm { kLatent, kExpanded };
struct LayerCache {
  Tensor latent;        // (slots, capacity, rk + dr)
  Tensor keys, values;  // (slots, capacity, Hkv, dk), (slots, capacity, Hkv, dv)
};
struct KvCache {
  std::vector<LayerCache> layers;  // num_hidden_layers, then the multi-token prediction layer if there is one
  int64_t slots = 0, capacity = 0;
};

// Experts of each token, by mixture layer in order of depth: (N, K) i32 each.
using Routings = std::vector<Tensor>;

struct Pass {
  Batch batch;
  KvCache* cache = nullptr;          // rows of the batch's tokens are stored; with `decode` they also attend to it
  bool decode = false;               // false: tokens attend within the batch (training, prefill from position 0)
  bool record_routing = false;       // fill `routings`
  const Routings* replay = nullptr;  // use these experts instead of choosing
  bool with_balance_loss = false;    // fill `balance_losses`
  bool count_load = false;           // add to the load counters of the mixtures (for the aux-loss-free bias)

  Tensor rope_table;  // set by Transformer
  Routings routings;
  std::vector<Var> balance_losses;  // one a mixture layer, (1) each
  size_t mixture_index = 0;         // mixtures passed so far
};

}  // namespace tenth
