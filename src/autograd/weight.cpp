#include "autograd/weight.h"

namespace tenth {

// With FP8, one copy serves the forward product and the gradient of the input, whose reduction runs the other way: a
// square block is one either way (DeepSeek-V3 report, section 3.3.2).
void Weight::refresh() {
  packed = Tensor();
  Backend& backend = backend_of(value);
  if (fp8)
    backend.fp8_round(compute, value, Tensor(), {.tile = Fp8Args::Tile::kBlock, .scale = *fp8});
  else if (!compute.same_storage(value))
    backend.copy(compute, value);
}

}  // namespace tenth
