#include "autograd/weight.h"

#include <utility>

namespace tenth {
namespace {

// compute = value as FP8 with 128 x 128 blocks holds it. One copy serves the forward product and the gradient of the
// input, whose reduction runs the other way: a square block is one either way (DeepSeek-V3 report, section 3.3.2).
void round_to_fp8(const Tensor& compute, const Tensor& value, Fp8Scale scale) {
  const Fp8Args args = {.tile = Fp8Args::Tile::kBlock, .scale = scale};
  const auto blocks = [](int64_t n) { return (n + Fp8Args::kSide - 1) / Fp8Args::kSide; };
  Shape shape = value.shape();
  for (int d : {value.rank() - 2, value.rank() - 1}) shape.set(d, blocks(shape[d]));
  Backend& backend = backend_of(value);
  const Tensor q = Tensor::make(backend, DType::kF8E4M3, value.shape());
  const Tensor scales = Tensor::make(backend, DType::kF32, shape);
  backend.fp8_quantize(q, scales, value, Tensor(), args);
  backend.fp8_dequantize(compute, q, scales, Tensor(), args);
}

}  // namespace

const Tensor& Weight::gradient() {
  if (std::exchange(grad_is_zero, false)) backend_of(grad).fill(grad, 0);
  return grad;
}

void Weight::add_product(Weight* bias, const Tensor& dy, const Tensor& x, const Tensor& offsets) {
  backend_of(grad).linear_backward_weight(grad, bias ? bias->gradient() : Tensor(), dy, x, offsets,
                                          std::exchange(grad_is_zero, false));
}

void Weight::refresh() {
  packed = Tensor();
  if (fp8)
    round_to_fp8(compute, value, *fp8);
  else if (!compute.same_storage(value))
    backend_of(value).copy(compute, value);
}

}  // namespace tenth
