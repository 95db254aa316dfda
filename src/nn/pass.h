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
  CachePlaces places;   // where the tokens stand in a cache; not defined without one
  int64_t longest = 0;  // highest position + 1
};

// The cache's blocks of each sequence of a batch, one sequence after another.
struct BlockTables {
  std::span<const int32_t> blocks;
  int64_t width = 0;  // entries a sequence
};

// Whole sequences from position 0 on: for training, scoring, and prefill (with tables).
Batch make_batch(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> lengths,
                 const BlockTables& tables = {});
// New tokens of running sequences. ids, positions, and sequences (the row of the tables): one entry a token.
Batch make_step(Backend& backend, std::span<const int32_t> ids, std::span<const int32_t> positions,
                std::span<const int32_t> sequences, const BlockTables& tables);

// Keys and values of past tokens, in blocks (backend.h) of one of two forms. MLA's own is the latent row [c ; k_rope],
// which decoding absorbs into the query: little memory. Expanded, each head's key and value: what grouped-query
// attention has, and for MLA the form whose decoding repeats the training pass bit by bit (rollouts of RL).
enum class CacheForm { kLatent, kExpanded };
struct KvCache {
  std::vector<LayerCache> layers;  // num_hidden_layers, then the multi-token prediction layer if there is one
  int64_t blocks = 0;
};
// Blocks that hold so many positions.
constexpr int64_t blocks_for(int64_t positions) { return (positions + kCacheBlock - 1) / kCacheBlock; }
// Copies a block, whatever of it is in use, in all layers.
void copy_block(const KvCache& cache, int32_t to, int32_t from);

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
