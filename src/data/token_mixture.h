// Rows of tokens from one or more folders of shards, packed, shuffled and mixed. Row number n is a pure function of the
// files, the settings and n: any number of processes read the same rows, and a run goes on from a row's number alone.
#pragma once
#include <memory>
#include <vector>

#include "data/packing.h"
#include "data/token_folder.h"

namespace tenth {

struct MixtureSettings {
  std::vector<Path> folders;
  std::vector<double> weights = {};  // shares of the rows; empty: as many as each folder has
  uint32_t context = 1024;           // most tokens of a row
  uint64_t seed = 0;
  bool shuffle = true;  // false: each folder's rows in the order of the packing
};

// Sequences end to end: parts of different documents, which must not attend to each other.
struct TokenRows {
  std::vector<int32_t> ids;
  std::vector<int32_t> lengths;
};

class TokenMixture {
 public:
  // Opens and packs the folders. Throws as TokenFolder does, and kInput for weights that are wrong, folders of
  // different tokenizers, and a folder without tokens.
  explicit TokenMixture(const MixtureSettings& settings);

  // Rows first, first + stride, … : count of them. Rank r of R takes its part of a batch of B rows that begins at row
  // f as rows(f + r, B / R, R); the batch is the same for any R.
  TokenRows rows(int64_t first, int64_t count, int64_t stride = 1) const;

  int64_t epoch_rows() const;  // of all folders: where no weights are given, so many rows hold each piece once
  int64_t vocab_size() const { return folders_[0].manifest().vocab_size; }
  Hash128 tokenizer() const { return folders_[0].manifest().tokenizer; }  // of the file tokenizer.json
  const std::vector<TokenFolder>& folders() const { return folders_; }
  double fill() const;  // share of the places of an epoch's rows that hold tokens

  // Of the tokens and settings: equal where the rows are. To be saved beside a row's number.
  Hash128 fingerprint() const;

 private:
  // Rows are mixed in blocks of kBlock. In each, folder i has quotas_[i] rows, at places drawn by the block's number.
  static constexpr int64_t kBlock = 4096;
  void set_quotas();
  std::pair<size_t, int64_t> place(int64_t row) const;  // folder, and how many of its rows came before
  void append(size_t folder, int64_t index, TokenRows& rows) const;

  MixtureSettings settings_;
  std::vector<TokenFolder> folders_;
  std::vector<Packing> packings_;
  std::vector<int64_t> quotas_;
};

}  // namespace tenth
