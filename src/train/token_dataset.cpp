#include "train/token_dataset.h"

#include "base/error.h"

namespace tenth {

TokenDataset::TokenDataset(std::shared_ptr<const TokenMixture> mixture, int64_t batch_rows, int64_t rank, int64_t ranks)
    : mixture_(std::move(mixture)), batch_rows_(batch_rows), rank_(rank), ranks_(ranks) {
  require(ranks >= 1 && rank >= 0 && rank < ranks && batch_rows >= 1 && batch_rows % ranks == 0, ErrorKind::kInput,
          "batch: expected rows that {} processes share equally, got {}", ranks, batch_rows);
}

Examples TokenDataset::batch(int64_t index) const { return rows(index * batch_rows_, batch_rows_); }

Examples TokenDataset::rows(int64_t first, int64_t count) const {
  const int64_t own = rank_ < count ? (count - rank_ + ranks_ - 1) / ranks_ : 0;
  const TokenRows rows = mixture_->rows(first + rank_, own, ranks_);
  return all_tokens_scored(rows.ids, rows.lengths);
}

}  // namespace tenth
