// Where the tokens of a batch stand in a paged cache.
#pragma once
#include "backend/backend.h"

namespace tenth::cpu {

// Tokens that follow each other in the batch and in their sequence.
struct Run {
  int64_t token, count;  // the first of them, in the batch
  int64_t first;         // its position
  const int32_t* blocks;
};

// The tables of a batch, checked as they are walked: a wrong number would be a write anywhere in memory.
class Places {
 public:
  // blocks: of the cache.
  Places(const char* op, const CachePlaces& places, int64_t blocks)
      : op_(op),
        places_(places),
        sequences_(places.sequences.data<int32_t>()),
        positions_(places.positions.data<int32_t>()),
        tables_(places.tables.data<int32_t>()),
        blocks_(blocks) {}

  // Calls body(run) for runs of at most `most` tokens that cover the first `tokens`; none straddles a multiple of
  // `unit` positions.
  template <class Body>
  void each_run(int64_t tokens, int64_t most, int64_t unit, const Body& body) const {
    for (int64_t n = 0, next; n < tokens; n = next) {
      for (next = n + 1; next < tokens && next - n < most && follows(next) && positions_[next] % unit != 0;) next++;
      body(Run{n, next - n, positions_[n], table_of(n, positions_[next - 1])});
    }
  }

 private:
  bool follows(int64_t n) const { return sequences_[n] == sequences_[n - 1] && positions_[n] == positions_[n - 1] + 1; }

  const int32_t* table_of(int64_t n, int64_t last) const {
    const int64_t sequence = sequences_[n], width = places_.tables.dim(1), wanted = last / kCacheBlock + 1;
    if (sequence < 0 || sequence >= places_.tables.dim(0) || positions_[n] < 0 || wanted > width)
      fail(ErrorKind::kInternal, "[{}] position {} of sequence {}: the block tables have the shape {}", op_, last,
           sequence, places_.tables.shape().text());
    const int32_t* table = tables_ + sequence * width;
    for (int64_t i = 0; i < wanted; i++) {
      if (table[i] >= 0 && table[i] < blocks_) continue;
      fail(ErrorKind::kInternal, "[{}] block {} of sequence {} is {}: the cache has {}", op_, i, sequence, table[i],
           blocks_);
    }
    return table;
  }

  const char* op_;
  const CachePlaces& places_;
  const int32_t *sequences_, *positions_, *tables_;
  int64_t blocks_;
};

}  // namespace tenth::cpu
