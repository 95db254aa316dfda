// Packed token shards as batches of the supervised stages.
#pragma once
#include "data/token_mixture.h"
#include "train/dataset.h"

namespace tenth {

// Batch number i is rows i * batch_rows … of the mixture; every token but the first of each sequence is scored.
class TokenDataset : public Dataset {
 public:
  // rank: of `ranks` processes, which take equal parts of each batch; ranks divides batch_rows.
  TokenDataset(std::shared_ptr<const TokenMixture> mixture, int64_t batch_rows, int64_t rank = 0, int64_t ranks = 1);
  Examples batch(int64_t index) const override;

  // This rank's part of rows [first, first + count) of the mixture: for batches that are not all of one size, and for a
  // validation set read once, whose last batch is shorter (one folder, shuffle = false, epoch_rows() rows in all).
  Examples rows(int64_t first, int64_t count) const;

 private:
  std::shared_ptr<const TokenMixture> mixture_;
  int64_t batch_rows_, rank_, ranks_;
};

}  // namespace tenth
