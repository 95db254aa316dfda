// From rows of one encoding to rows of another, in bounded pieces, on all cores: what exports write.
#pragma once
#include <functional>

#include "checkpoint/gguf.h"
#include "checkpoint/weight_source.h"

namespace tenth {

// A matrix as it is to be written: rows of floats on demand.
struct RowReader {
  int64_t rows, columns;
  std::function<void(int64_t begin, int64_t end, float* values)> read;  // called from many threads
};
RowReader rows_of(const SourceTensor& tensor);

// Hands rows over as F32, F16, BF16 or blocks (quantize). Throws kNumeric, with the name, for a number that the type
// cannot hold: F16 beyond 65504, blocks as in quantize.
void stream_rows(const RowReader& reader, const GgufTensorType& to, const std::string& name, const ByteSink& sink);

// Told after each tensor of an export: bytes of the output so far, of all.
using ExportProgress = std::function<void(uint64_t done, uint64_t total)>;

void check_interrupt();  // between pieces: throws kInput once the user wants to stop (base/interrupt.h)

}  // namespace tenth
