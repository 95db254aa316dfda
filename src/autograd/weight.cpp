#include "autograd/weight.h"

#include <utility>

namespace tenth {

const Tensor& Weight::gradient() {
  if (std::exchange(grad_is_zero, false)) backend_of(grad).fill(grad, 0);
  return grad;
}

void Weight::add_product(Weight* bias, const Tensor& dy, const Tensor& x, const Tensor& offsets) {
  backend_of(grad).linear_backward_weight(grad, bias ? bias->gradient() : Tensor(), dy, x, offsets,
                                          std::exchange(grad_is_zero, false));
}

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
