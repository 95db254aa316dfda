// A model as a GGUF file that llama.cpp runs: config, vocabulary, chat template, weights.
#pragma once
#include "checkpoint/gguf_write.h"
#include "checkpoint/row_stream.h"

namespace tenth {

struct GgufExport {
  std::string type = {};                   // of matrices: F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K
  std::string name = {};                   // general.name
  std::vector<GgufEntry> vocabulary = {};  // gguf_vocabulary_entries; empty: the file goes without
  ExportProgress progress = {};
};

// Vectors and routers stay F32. Q4_0 and Q4_K give the head (and the embedding that serves as one) Q6_K, whose error
// goes straight into the logits. Rows that are not whole blocks of 256 become Q8_0, of 32 F16. The multi-token
// prediction module is a block behind the last (nextn), which llama.cpp reads from August 2026 on. Weights pass through
// memory in pieces of a few megabytes. Throws kUnsupported for a model that GGUF has no words for; kNumeric for a
// number that its type cannot hold; kIo.
void export_gguf(const WeightSource& source, const Path& file, const GgufExport& options);

}  // namespace tenth
