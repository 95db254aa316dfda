// FP8 tiles, element by element.
#include <algorithm>
#include <cmath>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {
namespace {

// Calls body(scale, rows begin, rows end, columns begin, columns end) for each tile of a matrix (R, C).
template <class Body>
void each_tile(const Tensor& scales, int64_t rows, int64_t columns, const Tensor& offsets, Fp8Args::Tile tile,
               const Body& body) {
  constexpr int64_t kSide = Fp8Args::kSide;
  const int64_t height = tile == Fp8Args::Tile::kRow ? 1 : kSide, width = tile == Fp8Args::Tile::kColumn ? 1 : kSide;
  View scale(scales), offset(offsets);
  const int64_t groups = offsets ? offsets.dim(0) - 1 : 1;
  for (int64_t e = 0; e < groups; e++) {
    const int64_t begin = offsets ? int64_t(offset(e)) : 0, end = offsets ? int64_t(offset(e + 1)) : rows;
    int64_t i = offsets ? begin / kSide + e : 0;
    for (int64_t r = begin; r < end; r += height, i++)
      for (int64_t c = 0, j = 0; c < columns; c += width, j++)
        body(scale(i, j), r, std::min(end, r + height), c, std::min(columns, c + width));
  }
}

}  // namespace

// s = max(amax, floor) / 448, or the power of two from there up;  q = x / s
void ReferenceBackend::fp8_quantize(const Tensor& q_, const Tensor& scales, const Tensor& x_, const Tensor& offsets,
                                    const Fp8Args& args) {
  if (x_.rank() == 3) {
    for (int64_t e = 0; e < x_.dim(0); e++) fp8_quantize(q_[e], scales[e], x_[e], offsets, args);
    return;
  }
  View q(q_), x(x_);
  each_tile(scales, x_.dim(0), x_.dim(1), offsets, args.tile,
            [&](Element scale, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
              float amax = float(args.floor);
              for (int64_t r = r0; r < r1; r++)
                for (int64_t c = c0; c < c1; c++) amax = std::max(amax, float(std::fabs(x(r, c))));
              scale = fp8_scale(amax, args.scale);
              for (int64_t r = r0; r < r1; r++)
                for (int64_t c = c0; c < c1; c++) q(r, c) = float(x(r, c)) / float(scale);
            });
}

// y = q s
void ReferenceBackend::fp8_dequantize(const Tensor& y_, const Tensor& q_, const Tensor& scales, const Tensor& offsets,
                                      const Fp8Args& args) {
  if (q_.rank() == 3) {
    for (int64_t e = 0; e < q_.dim(0); e++) fp8_dequantize(y_[e], q_[e], scales[e], offsets, args);
    return;
  }
  View y(y_), q(q_);
  each_tile(scales, q_.dim(0), q_.dim(1), offsets, args.tile,
            [&](Element scale, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
              for (int64_t r = r0; r < r1; r++)
                for (int64_t c = c0; c < c1; c++) y(r, c) = q(r, c) * scale;
            });
}

void ReferenceBackend::fp8_round(const Tensor& y, const Tensor& x, const Tensor& offsets, const Fp8Args& args) {
  if (x.rank() == 3) {
    for (int64_t e = 0; e < x.dim(0); e++) fp8_round(y[e], x[e], offsets, args);
    return;
  }
  const auto tiles = [](int64_t n) { return (n + Fp8Args::kSide - 1) / Fp8Args::kSide; };
  const int64_t rows = x.dim(0), columns = x.dim(1), groups = offsets ? offsets.dim(0) - 1 : 1;
  const Shape shape = args.tile == Fp8Args::Tile::kRow      ? Shape{rows, tiles(columns)}
                      : args.tile == Fp8Args::Tile::kColumn ? Shape{fp8_tile_rows(rows, groups), columns}
                                                            : Shape{tiles(rows), tiles(columns)};
  const Tensor q = Tensor::make(*this, DType::kF8E4M3, x.shape()), scales = Tensor::make(*this, DType::kF32, shape);
  fp8_quantize(q, scales, x, offsets, args);
  fp8_dequantize(y, q, scales, offsets, args);
}

}  // namespace tenth::reference
