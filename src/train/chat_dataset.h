// Conversations as batches of supervised fine-tuning.
#pragma once
#include "data/conversations.h"
#include "data/packing.h"
#include "train/dataset.h"

namespace tenth {

// Whole conversations, packed into rows of at most `context` tokens, the rows shuffled by (seed, epoch). Batch number i
// is batch_rows of them; rank r of R takes each R-th. What the assistant wrote is scored.
class ChatDataset : public Dataset {
 public:
  ChatDataset(std::vector<EncodedChat> chats, uint32_t context, int64_t batch_rows, uint64_t seed, int64_t rank = 0,
              int64_t ranks = 1);
  Examples batch(int64_t index) const override;
  int64_t epoch_rows() const { return packing_.rows(); }

 private:
  std::vector<EncodedChat> chats_;
  Packing packing_;
  int64_t batch_rows_;
  uint64_t seed_;
  int64_t rank_, ranks_;
};

}  // namespace tenth
