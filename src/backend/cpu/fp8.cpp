// FP8 tiles. The work is cut into patches of at most 128 x 128 elements, whose every row is converted with a list of
// one scale a column, whatever the form of the tiles.
#include <algorithm>
#include <array>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {
namespace {

using namespace cpu;
using Tile = Fp8Args::Tile;

constexpr int64_t kSide = Fp8Args::kSide;
using Line = std::array<float, kSide>;

// Elements [row, row + rows) x [column, column + columns) of one matrix, and where its first scale lies.
struct Patch {
  int64_t matrix, row, rows, column, columns, scale_row;
};

int64_t dim_or(const Tensor& t, int from_end, int64_t otherwise) {
  return t.rank() >= from_end ? t.dim(t.rank() - from_end) : otherwise;
}

// Calls body(patch) for all patches, on all threads. The tensor is (R, C) or (E, R, C).
template <class Body>
void each_patch(const Tensor& t, const Tensor& offsets, const Body& body) {
  const int64_t matrices = dim_or(t, 3, 1), rows = t.dim(-2), columns = t.dim(-1);
  thread_local std::vector<Patch> stripes_of_thread;
  std::vector<Patch>& stripes = stripes_of_thread;  // this thread's, also within the loop below
  stripes.clear();
  const auto add = [&](int64_t matrix, int64_t begin, int64_t end, int64_t scale_row) {
    for (int64_t r = begin; r < end; r += kSide)
      stripes.push_back({matrix, r, std::min(kSide, end - r), 0, 0, scale_row++});
  };
  if (offsets) {
    const int32_t* at = offsets.data<int32_t>();
    for (int64_t e = 0; e + 1 < offsets.dim(0); e++) add(0, at[e], at[e + 1], at[e] / kSide + e);
  } else {
    for (int64_t m = 0; m < matrices; m++) add(m, 0, rows, 0);
  }
  const int64_t across = (columns + kSide - 1) / kSide;
  parallel_for(int64_t(stripes.size()) * across, 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      Patch patch = stripes[size_t(i / across)];
      patch.column = i % across * kSide;
      patch.columns = std::min(kSide, columns - patch.column);
      body(patch);
    }
  });
}

int64_t offset_of(const Tensor& t, const Patch& p, int64_t r) {
  return (t.rank() == 3 ? p.matrix * t.stride(0) : 0) + (p.row + r) * t.stride(-2) + p.column;
}

// The scales of row r of a patch, as they are stored: one for all of its columns, or one each.
float* stored_scales(const Tensor& scales, const Patch& p, Tile tile, int64_t r) {
  const int64_t row = tile == Tile::kRow ? p.row + r : p.scale_row;
  return scales.data<float>() + (scales.rank() == 3 ? p.matrix * scales.stride(0) : 0) + row * scales.stride(-2) +
         (tile == Tile::kColumn ? p.column : p.column / kSide);
}

// Calls row(r, scales) for each row of a patch of x, with the scales of its columns, which are made from all of the
// tile before the first of its rows is handed out.
template <class T, class Row>
void with_scales(const Tensor& x, const Patch& p, const Fp8Args& args, const Row& row) {
  const Fp8KernelsOf<T>& kernel = pick<T>(*kernels().fp8);
  const T* values = data_of<T>(x);
  const float floor = float(args.floor);
  Line line;
  const auto fill = [&](float amax) { std::fill_n(line.begin(), p.columns, fp8_scale(amax, args.scale)); };
  if (args.tile == Tile::kRow) {
    for (int64_t r = 0; r < p.rows; r++) {
      fill(kernel.largest(floor, values + offset_of(x, p, r), p.columns));
      row(r, line);
    }
    return;
  }
  if (args.tile == Tile::kBlock) {
    float amax = floor;
    for (int64_t r = 0; r < p.rows; r++) amax = kernel.largest(amax, values + offset_of(x, p, r), p.columns);
    fill(amax);
  } else {
    line.fill(floor);
    for (int64_t r = 0; r < p.rows; r++) kernel.raise(line.data(), values + offset_of(x, p, r), p.columns);
    for (int64_t j = 0; j < p.columns; j++) line[size_t(j)] = fp8_scale(line[size_t(j)], args.scale);
  }
  for (int64_t r = 0; r < p.rows; r++) row(r, line);
}

// The codes as kernels see them.
uint8_t* codes_of(const Tensor& q) { return reinterpret_cast<uint8_t*>(q.data<fp8_e4m3>()); }

}  // namespace

void CpuBackend::fp8_quantize(const Tensor& q, const Tensor& scales, const Tensor& x, const Tensor& offsets,
                              const Fp8Args& args) {
  uint8_t* codes = codes_of(q);
  with_type(x, "fp8_quantize", [&]<class T>(T) {
    const auto kernel = pick<T>(*kernels().fp8).quantize;
    const T* values = data_of<T>(x);
    each_patch(x, offsets, [&](const Patch& p) {
      with_scales<T>(x, p, args, [&](int64_t r, const Line& line) {
        if (r == 0 || args.tile == Tile::kRow)
          std::copy_n(line.begin(), args.tile == Tile::kColumn ? p.columns : 1, stored_scales(scales, p, args.tile, r));
        kernel(codes + offset_of(q, p, r), values + offset_of(x, p, r), line.data(), p.columns);
      });
    });
  });
}

void CpuBackend::fp8_dequantize(const Tensor& y, const Tensor& q, const Tensor& scales, const Tensor& offsets,
                                const Fp8Args& args) {
  const uint8_t* codes = codes_of(q);
  with_type(y, "fp8_dequantize", [&]<class T>(T) {
    const auto kernel = pick<T>(*kernels().fp8).dequantize;
    T* values = data_of<T>(y);
    each_patch(q, offsets, [&](const Patch& p) {
      Line line;
      for (int64_t r = 0; r < p.rows; r++) {
        const float* stored = stored_scales(scales, p, args.tile, r);
        if (args.tile != Tile::kColumn) std::fill_n(line.begin(), p.columns, *stored);
        kernel(values + offset_of(y, p, r), codes + offset_of(q, p, r),
               args.tile == Tile::kColumn ? stored : line.data(), p.columns);
      }
    });
  });
}

void CpuBackend::fp8_round(const Tensor& y, const Tensor& x, const Tensor& offsets, const Fp8Args& args) {
  with_type(y, "fp8_round", [&]<class Y>(Y) {
    with_type(x, "fp8_round", [&]<class X>(X) {
      const auto kernel = kernels().fp8->round[sizeof(Y) == 2][sizeof(X) == 2];
      Y* to = data_of<Y>(y);
      const X* from = data_of<X>(x);
      each_patch(x, offsets, [&](const Patch& p) {
        with_scales<X>(x, p, args, [&](int64_t r, const Line& line) {
          kernel(to + offset_of(y, p, r), from + offset_of(x, p, r), line.data(), p.columns);
        });
      });
    });
  });
}

}  // namespace tenth
