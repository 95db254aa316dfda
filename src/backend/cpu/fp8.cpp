// FP8 tiles. The work is cut into patches of at most 128 x 128 elements, whose every row is converted with a list of
// one scale a column, whatever the form of the tiles.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {
namespace {

using namespace cpu;

constexpr int64_t kSide = Fp8Args::kSide;
using Line = std::array<float, kSide>;

// Elements [row, row + rows) x [column, column + columns) of one matrix, and where its first scale lies.
struct Patch {
  int64_t matrix, row, rows, column, columns, scale_row;
};

// Reads n elements as f32.
void read_row(float* to, const Tensor& x, int64_t offset, int64_t n) {
  if (x.dtype() == DType::kF32) {
    std::copy_n(x.data<float>() + offset, n, to);
  } else {
    const bf16* from = x.data<bf16>() + offset;
    for (int64_t j = 0; j < n; j++) to[j] = from[j];
  }
}

void raise(Line& amax, const Line& x, int64_t n) {
  for (size_t j = 0; j < size_t(n); j++) {
    const float size = std::fabs(x[j]);
    amax[j] = size > amax[j] ? size : amax[j];  // a NaN leaves it, and stays one as q
  }
}

float largest(const Line& amax, int64_t n) { return *std::max_element(amax.begin(), amax.begin() + n); }

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

// The scale of row r of the patch's columns: where it is stored, and how many of them lie there.
struct ScalePlace {
  float* first;
  bool each_column;
};
ScalePlace scale_place(const Tensor& scales, const Patch& p, Fp8Args::Tile tile, int64_t r) {
  float* base = scales.data<float>() + (scales.rank() == 3 ? p.matrix * scales.stride(0) : 0);
  const int64_t row = scales.stride(-2);
  if (tile == Fp8Args::Tile::kRow) return {base + (p.row + r) * row + p.column / kSide, false};
  if (tile == Fp8Args::Tile::kColumn) return {base + p.scale_row * row + p.column, true};
  return {base + p.scale_row * row + p.column / kSide, false};
}

void load_scales(Line& line, const ScalePlace& place, int64_t n) {
  if (place.each_column)
    std::copy_n(place.first, n, line.begin());
  else
    std::fill_n(line.begin(), n, *place.first);
}

int64_t offset_of(const Tensor& t, const Patch& p, int64_t r) {
  return (t.rank() == 3 ? p.matrix * t.stride(0) : 0) + (p.row + r) * t.stride(-2) + p.column;
}

void store_scales(const Tensor& scales, const Tensor& x, const Patch& p, const Fp8Args& args) {
  Line values, amax;
  amax.fill(float(args.floor));
  for (int64_t r = 0; r < p.rows; r++) {
    read_row(values.data(), x, offset_of(x, p, r), p.columns);
    raise(amax, values, p.columns);
    if (args.tile != Fp8Args::Tile::kRow) continue;
    *scale_place(scales, p, args.tile, r).first = fp8_scale(largest(amax, p.columns), args.scale);
    amax.fill(float(args.floor));
  }
  if (args.tile == Fp8Args::Tile::kRow) return;
  const ScalePlace place = scale_place(scales, p, args.tile, 0);
  if (place.each_column)
    for (int64_t j = 0; j < p.columns; j++) place.first[j] = fp8_scale(amax[size_t(j)], args.scale);
  else
    *place.first = fp8_scale(largest(amax, p.columns), args.scale);
}

}  // namespace

void CpuBackend::fp8_quantize(const Tensor& q, const Tensor& scales, const Tensor& x, const Tensor& offsets,
                              const Fp8Args& args) {
  require(x.dtype() == DType::kF32 || x.dtype() == DType::kBF16, ErrorKind::kUnsupported,
          "[fp8_quantize] the cpu backend takes f32 or bf16, got {}", name_of(x.dtype()));
  fp8_e4m3* codes = q.data<fp8_e4m3>();
  each_patch(x, offsets, [&](const Patch& p) {
    store_scales(scales, x, p, args);
    Line values, scale;
    for (int64_t r = 0; r < p.rows; r++) {
      read_row(values.data(), x, offset_of(x, p, r), p.columns);
      load_scales(scale, scale_place(scales, p, args.tile, r), p.columns);
      fp8_e4m3* to = codes + offset_of(q, p, r);
      for (size_t j = 0; j < size_t(p.columns); j++) to[j] = fp8_e4m3(values[j] / scale[j]);
    }
  });
}

void CpuBackend::fp8_dequantize(const Tensor& y, const Tensor& q, const Tensor& scales, const Tensor& offsets,
                                const Fp8Args& args) {
  const fp8_e4m3* codes = q.data<fp8_e4m3>();
  with_type(y, "fp8_dequantize", [&]<class T>(T) {
    using Value = std::conditional_t<std::is_same_v<T, float>, float, bf16>;
    Value* values = y.data<Value>();
    each_patch(q, offsets, [&](const Patch& p) {
      Line scale;
      for (int64_t r = 0; r < p.rows; r++) {
        load_scales(scale, scale_place(scales, p, args.tile, r), p.columns);
        const fp8_e4m3* from = codes + offset_of(q, p, r);
        Value* to = values + offset_of(y, p, r);
        for (size_t j = 0; j < size_t(p.columns); j++) to[j] = Value(float(from[j]) * scale[j]);
      }
    });
  });
}

}  // namespace tenth
