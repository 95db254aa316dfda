// Where a stage's batches come from.
#pragma once
#include "train/loss.h"

namespace tenth {

class Dataset {
 public:
  virtual ~Dataset() = default;
  // Batch number `index`: a pure function of it, so that a resumed run goes on with the same data.
  virtual Examples batch(int64_t index) const = 0;
};

}  // namespace tenth
