#include "ops/fp8.h"

namespace tenth::ops {
namespace {

using Tile = Fp8Args::Tile;

// A matrix in row tiles: what is kept of a linear's input.
struct Fp8Rows {
  Tensor q, scales;
  Fp8Args args;
};

Fp8Rows quantized(const Tensor& x, Fp8Scale scale) {
  Backend& backend = backend_of(x);
  const int64_t rows = x.dim(0), across = (x.dim(1) + Fp8Args::kSide - 1) / Fp8Args::kSide;
  Fp8Rows result{Tensor::make(backend, DType::kF8E4M3, x.shape()), Tensor::make(backend, DType::kF32, {rows, across}),
                 Fp8Args{.tile = Tile::kRow, .scale = scale}};
  backend.fp8_quantize(result.q, result.scales, x, Tensor(), result.args);
  return result;
}

Tensor dequantized(const Fp8Rows& rows, DType type) {
  Tensor y = Tensor::make(rows.q.device(), type, rows.q.shape());
  backend_of(y).fp8_dequantize(y, rows.q, rows.scales, Tensor(), rows.args);
  return y;
}

Tensor rounded(const Tensor& x, Tile tile, Fp8Scale scale, const Tensor& offsets, DType type) {
  Tensor y = Tensor::make(x.device(), type, x.shape());
  backend_of(x).fp8_round(y, x, offsets, {.tile = tile, .scale = scale});
  return y;
}

Tensor converted(const Tensor& x, DType type) {
  if (x.dtype() == type) return x;
  Tensor y = Tensor::make(x.device(), type, x.shape());
  backend_of(x).copy(y, x);
  return y;
}

}  // namespace

Var fp8_linear(const Var& x, Weight& w, Weight* bias, const Tensor& offsets) {
  const Tensor& weight = w.compute;
  const DType outside = x.value().dtype(), inside = weight.dtype();
  const Fp8Scale scale = *w.fp8;
  Backend& backend = backend_of(x.value());
  if (!w.packed) w.packed = backend.pack_weight(weight);
  const Fp8Rows rows = quantized(x.value(), scale);
  Tensor y = Tensor::make(backend, inside, {x.value().dim(0), weight.dim(-2)});
  backend.linear_forward(y, dequantized(rows, inside), weight, w.packed, bias ? bias->value : Tensor(), offsets);
  return record(
      converted(y, outside), x.needs_gradient() || w.trained(), [=, x = x.without_value(), &w](const Tensor& dy) {
        Backend& backend = backend_of(dy);
        if (x.needs_gradient()) {
          Tensor dx = Tensor::make(backend, inside, rows.q.shape());
          backend.linear_backward_input(dx, rounded(dy, Tile::kRow, scale, Tensor(), inside), w.compute, offsets, true);
          x.add_gradient(converted(dx, outside));
        }
        if (!w.trained()) return;
        const Tensor down = dequantized(rows, inside);
        backend.fp8_round(down, down, offsets, {.tile = Tile::kColumn, .scale = scale});
        w.add_product(bias, rounded(dy, Tile::kColumn, scale, offsets, inside), down, offsets);
      });
}

}  // namespace tenth::ops
