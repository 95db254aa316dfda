#include "data/packing.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace tenth {
namespace {

std::vector<Packing::Piece> cut(std::span<const uint32_t> lengths, uint32_t context) {
  std::vector<Packing::Piece> pieces;
  uint64_t begin = 0;
  for (size_t i = 0; i < lengths.size(); i++) {
    for (uint64_t at = 0; at + 1 < lengths[i]; at += context - 1)
      pieces.push_back({begin + at, uint32_t(std::min<uint64_t>(context, lengths[i] - at)), uint32_t(i)});
    begin += lengths[i];
  }
  return pieces;
}

}  // namespace

Packing::Packing(std::span<const uint32_t> lengths, uint32_t context) {
  require(context >= 2 && context <= (1u << 30), ErrorKind::kInput, "context: expected 2 to {} tokens a row, got {}",
          1u << 30, context);
  std::vector<Piece> pieces = cut(lengths, context);
  std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.length > b.length; });
  // Each piece goes to the row with the least space that takes it, the oldest of these.
  std::set<std::pair<uint32_t, uint32_t>> open;  // space left, row
  std::vector<uint32_t> row_of(pieces.size());
  uint32_t rows = 0;
  for (size_t i = 0; i < pieces.size(); i++) {
    const uint32_t length = pieces[i].length;
    uint32_t space = context;
    if (const auto it = open.lower_bound({length, 0}); it != open.end()) {
      space = it->first;
      row_of[i] = it->second;
      open.erase(it);
    } else {
      row_of[i] = rows++;
    }
    if (space - length >= 2) open.insert({space - length, row_of[i]});
    tokens_ += length;
  }
  row_begins_.assign(size_t(rows) + 1, 0);
  for (const uint32_t row : row_of) row_begins_[row + 1]++;
  for (size_t row = 0; row < rows; row++) row_begins_[row + 1] += row_begins_[row];
  pieces_.resize(pieces.size());
  std::vector<size_t> next(row_begins_.begin(), row_begins_.end() - 1);
  for (size_t i = 0; i < pieces.size(); i++) pieces_[next[row_of[i]]++] = pieces[i];
}

std::span<const Packing::Piece> Packing::row(int64_t index) const {
  const size_t begin = row_begins_[size_t(index)], end = row_begins_[size_t(index) + 1];
  return std::span(pieces_).subspan(begin, end - begin);
}

}  // namespace tenth
