#include "data/token_mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/permutation.h"

namespace tenth {
namespace {

// Streams of the seed: the order within a block of the mixture, and each folder's order in each epoch.
constexpr uint64_t kBlockStream = uint64_t(1) << 63;
uint64_t epoch_stream(size_t folder, int64_t epoch) { return uint64_t(folder) << 40 | uint64_t(epoch); }

}  // namespace

TokenMixture::TokenMixture(const MixtureSettings& settings) : settings_(settings) {
  require(!settings.folders.empty(), ErrorKind::kInput, "expected one or more folders of token shards, got none");
  for (const Path& path : settings.folders) {
    const TokenFolder& folder = folders_.emplace_back(path);
    require(folder.manifest().tokenizer == tokenizer(), ErrorKind::kInput,
            "{}: expected tokens of the same tokenizer as {} has, got another's", path.string(),
            folders_[0].path().string());
    packings_.emplace_back(folder.lengths(), settings.context);
    require(packings_.back().rows() > 0, ErrorKind::kInput, "{}: expected tokens to train on, got none", path.string());
  }
  set_quotas();
}

// Largest remainders of kBlock times the shares, at least one row each.
void TokenMixture::set_quotas() {
  std::vector<double> weights = settings_.weights;
  if (weights.empty())
    for (const Packing& packing : packings_) weights.push_back(double(packing.rows()));
  require(weights.size() == folders_.size(), ErrorKind::kInput, "weights: expected {}, one a folder, got {}",
          folders_.size(), weights.size());
  for (const double weight : weights)
    require(std::isfinite(weight) && weight > 0, ErrorKind::kInput, "weights: expected positive numbers, got {}",
            weight);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::pair<double, size_t>> remainders;
  int64_t given = 0;
  for (size_t i = 0; i < weights.size(); i++) {
    const double exact = weights[i] / sum * double(kBlock);
    quotas_.push_back(std::max<int64_t>(1, int64_t(exact)));
    remainders.push_back({double(quotas_[i]) - exact, i});
    given += quotas_[i];
  }
  std::sort(remainders.begin(), remainders.end());
  for (size_t i = 0; given < kBlock; i++, given++) quotas_[remainders[i % remainders.size()].second]++;
  while (given > kBlock) {  // many folders with hardly any weight
    --*std::max_element(quotas_.begin(), quotas_.end());
    given--;
  }
}

std::pair<size_t, int64_t> TokenMixture::place(int64_t row) const {
  if (folders_.size() == 1) return {0, row};
  const int64_t block = row / kBlock;
  const Permutation order(uint64_t(kBlock), settings_.seed, kBlockStream | uint64_t(block));
  auto at = int64_t(order(uint64_t(row % kBlock)));
  size_t folder = 0;
  while (at >= quotas_[folder]) at -= quotas_[folder++];
  return {folder, block * quotas_[folder] + at};
}

void TokenMixture::append(size_t folder, int64_t index, TokenRows& rows) const {
  const Packing& packing = packings_[folder];
  const int64_t epoch = index / packing.rows();
  index %= packing.rows();
  if (settings_.shuffle)
    index =
        int64_t(Permutation(uint64_t(packing.rows()), settings_.seed, epoch_stream(folder, epoch))(uint64_t(index)));
  for (const Packing::Piece& piece : packing.row(index)) {
    const size_t begin = rows.ids.size();
    rows.ids.resize(begin + piece.length);
    folders_[folder].copy(piece.begin, std::span(rows.ids).subspan(begin));
    rows.lengths.push_back(int32_t(piece.length));
  }
}

TokenRows TokenMixture::rows(int64_t first, int64_t count, int64_t stride) const {
  require(first >= 0 && count >= 0 && stride >= 1, ErrorKind::kInternal, "rows: {} from {} by {}", count, first,
          stride);
  TokenRows rows;
  for (int64_t i = 0; i < count; i++) {
    const auto [folder, index] = place(first + i * stride);
    append(folder, index, rows);
  }
  return rows;
}

int64_t TokenMixture::epoch_rows() const {
  int64_t rows = 0;
  for (const Packing& packing : packings_) rows += packing.rows();
  return rows;
}

double TokenMixture::fill() const {
  double tokens = 0;
  for (const Packing& packing : packings_) tokens += double(packing.tokens());
  return tokens / (double(epoch_rows()) * settings_.context);
}

Hash128 TokenMixture::fingerprint() const {
  std::string text = fmt::format("{} {} {}\n", settings_.context, settings_.seed, settings_.shuffle);
  for (size_t i = 0; i < folders_.size(); i++) {
    text += fmt::format("{}\n", quotas_[i]);
    for (const Shard& shard : folders_[i].shards()) text += shard.header().payload.hex() + "\n";
  }
  return hash128(text);
}

}  // namespace tenth
