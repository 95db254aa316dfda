#include "train/chat_dataset.h"

#include "base/error.h"
#include "base/permutation.h"

namespace tenth {
namespace {

std::vector<uint32_t> lengths_of(const std::vector<EncodedChat>& chats, uint32_t context) {
  std::vector<uint32_t> lengths;
  for (const EncodedChat& chat : chats) {
    require(chat.ids.size() <= context, ErrorKind::kInternal, "a conversation of {} tokens in rows of {}",
            chat.ids.size(), context);
    lengths.push_back(uint32_t(chat.ids.size()));
  }
  return lengths;
}

}  // namespace

ChatDataset::ChatDataset(std::vector<EncodedChat> chats, uint32_t context, int64_t batch_rows, uint64_t seed,
                         int64_t rank, int64_t ranks)
    : chats_(std::move(chats)),
      packing_(lengths_of(chats_, context), context),
      batch_rows_(batch_rows),
      seed_(seed),
      rank_(rank),
      ranks_(ranks) {
  require(packing_.rows() > 0, ErrorKind::kInput, "expected conversations to train on, got none");
  require(ranks >= 1 && rank >= 0 && rank < ranks && batch_rows >= 1 && batch_rows % ranks == 0, ErrorKind::kInput,
          "batch: expected rows that {} processes share equally, got {}", ranks, batch_rows);
}

Examples ChatDataset::batch(int64_t index) const {
  Examples examples;
  for (int64_t row = index * batch_rows_ + rank_; row < (index + 1) * batch_rows_; row += ranks_) {
    const auto rows = uint64_t(packing_.rows()), place = uint64_t(row);
    const Permutation order(rows, seed_, place / rows);
    for (const Packing::Piece& piece : packing_.row(int64_t(order(place % rows)))) {
      const EncodedChat& chat = chats_[piece.document];
      examples.add(chat.ids, 0);
      std::copy(chat.written.begin(), chat.written.end(), examples.scored.end() - std::ptrdiff_t(chat.ids.size()));
    }
  }
  return examples;
}

}  // namespace tenth
