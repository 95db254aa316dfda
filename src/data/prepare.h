// Text files -> tokenizer -> token shards, on all cores. Work that is done already (a tokenizer trained on the same
// files, a shard of the same text) is kept, so that a call that was interrupted goes on where it stopped.
#pragma once
#include <functional>

#include "data/documents.h"
#include "data/token_folder.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

// What is going on and how far it is. It is called often; what it throws ends the work.
using PrepareProgress = std::function<void(const char* stage, int64_t done, int64_t total)>;

struct PrepareSettings {
  std::vector<Path> files;
  Path out;  // folder; made where it is missing
  bool skip_bad = false;
  int64_t vocab_size = 0;          // of the tokenizer to train
  int64_t min_frequency = 0;       // of a pair that becomes a token
  int64_t shard_bytes = 32 << 20;  // a shard ends with the document that brings its text there
  PrepareProgress progress = {};
};

// Trains a tokenizer on the files and writes it into the folder. False where it was there already, of the same files
// and settings. Throws as DocumentReader and train_bpe do.
bool prepare_tokenizer(const PrepareSettings& settings, DocumentCounts* counts = nullptr);

// Puts the tokenizer of a model folder or of prepared data into the folder. Throws as Tokenizer::load does.
void copy_tokenizer(const Path& from, const Path& out);

// Writes the documents of the files as shards, each as <bos> text <eos> (where the tokenizer has these), with the
// tokenizer of settings.out; the manifest last. kept: shards that were there already.
Manifest prepare_shards(const PrepareSettings& settings, int64_t* kept = nullptr);

}  // namespace tenth
