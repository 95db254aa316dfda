#include "ops/fp8.h"

namespace tenth::ops {
namespace {

using Tile = Fp8Args::Tile;

struct Fp8Rows {
  Tensor q, scales, offsets;
  Fp8Args args;
};

Fp8Rows quantized(const Tensor& x, Tile tile, Fp8Scale scale, const Tensor& offsets) {
  Backend& backend = backend_of(x);
  const int64_t rows = x.dim(0), columns = x.dim(1), groups = offsets ? offsets.dim(0) - 1 : 1;
  const Shape scales = tile == Tile::kRow ? Shape{rows, (columns + Fp8Args::kSide - 1) / Fp8Args::kSide}
                                          : Shape{fp8_tile_rows(rows, groups), columns};
  Fp8Rows result{Tensor::make(backend, DType::kF8E4M3, x.shape()),
                 Tensor::make(backend, DType::kF32, scales),
                 tile == Tile::kRow ? Tensor() : offsets,
                 {.tile = tile, .scale = scale}};
  backend.fp8_quantize(result.q, result.scales, x, result.offsets, result.args);
  return result;
}

Tensor dequantized(const Fp8Rows& rows, DType type) {
  Tensor y = Tensor::make(rows.q.device(), type, rows.q.shape());
  backend_of(y).fp8_dequantize(y, rows.q, rows.scales, rows.offsets, rows.args);
  return y;
}

Tensor rounded(const Tensor& x, Tile tile, Fp8Scale scale, const Tensor& offsets, DType type) {
  return dequantized(quantized(x, tile, scale, offsets), type);
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
  const Fp8Rows rows = quantized(x.value(), Tile::kRow, scale, Tensor());
  Tensor y = Tensor::make(backend, inside, {x.value().dim(0), weight.dim(-2)});
  backend.linear_forward(y, dequantized(rows, inside), weight, w.packed, bias ? bias->value : Tensor(), offsets);
  return record(
      converted(y, outside), x.needs_gradient() || w.trained(), [=, x = x.without_value(), &w](const Tensor& dy) {
        Backend& backend = backend_of(dy);
        if (x.needs_gradient()) {
          Tensor dx = Tensor::make(backend, inside, rows.q.shape());
          backend.linear_backward_input(dx, rounded(dy, Tile::kRow, scale, Tensor(), inside), w.compute, offsets);
          x.add_gradient(converted(dx, outside));
        }
        if (!w.trained()) return;
        const Tensor down = rounded(dequantized(rows, inside), Tile::kColumn, scale, offsets, inside);
        w.add_product(bias, rounded(dy, Tile::kColumn, scale, offsets, inside), down, offsets);
      });
}

}  // namespace tenth::ops
