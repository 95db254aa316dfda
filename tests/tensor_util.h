// Tensors for tests: from numbers, from a random stream, and back. For backends whose memory the host reads.
#pragma once
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"

namespace tenth::testing {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
using Values = std::vector<double>;

inline double read(const Tensor& t, int64_t offset) {
  switch (t.dtype()) {
    case DType::kF64: return t.data<double>()[offset];
    case DType::kF32: return t.data<float>()[offset];
    case DType::kBF16: return t.data<bf16>()[offset];
    case DType::kI64: return double(t.data<int64_t>()[offset]);
    case DType::kI32: return t.data<int32_t>()[offset];
    case DType::kU8: return t.data<uint8_t>()[offset];
    case DType::kF8E4M3: return t.data<fp8_e4m3>()[offset];
  }
  return kNaN;
}

inline void write(const Tensor& t, int64_t offset, double value) {
  switch (t.dtype()) {
    case DType::kF64: t.data<double>()[offset] = value; break;
    case DType::kF32: t.data<float>()[offset] = float(value); break;
    case DType::kBF16: t.data<bf16>()[offset] = bf16(value); break;
    case DType::kI64: t.data<int64_t>()[offset] = int64_t(value); break;
    case DType::kI32: t.data<int32_t>()[offset] = int32_t(value); break;
    case DType::kU8: t.data<uint8_t>()[offset] = uint8_t(value); break;
    case DType::kF8E4M3: t.data<fp8_e4m3>()[offset] = fp8_e4m3(float(value)); break;
  }
}

// The place in memory of element i, counted row by row, of a tensor with any strides.
inline int64_t offset_of(const Tensor& t, int64_t i) {
  int64_t offset = 0;
  for (int d = t.rank() - 1; d >= 0; d--) {
    offset += i % t.dim(d) * t.stride(d);
    i /= t.dim(d);
  }
  return offset;
}

inline Values values_of(const Tensor& t) {
  Values values(static_cast<size_t>(t.count()));
  for (size_t i = 0; i < values.size(); i++) values[i] = read(t, offset_of(t, int64_t(i)));
  return values;
}

inline void set_values(const Tensor& t, const Values& values) {
  ASSERT_EQ(int64_t(values.size()), t.count());
  for (size_t i = 0; i < values.size(); i++) write(t, offset_of(t, int64_t(i)), values[i]);
}

inline Tensor tensor_of(Device& device, DType dtype, Shape shape, const Values& values) {
  Tensor t = Tensor::make(device, dtype, shape);
  set_values(t, values);
  return t;
}

inline Tensor full(Device& device, DType dtype, Shape shape, double value) {
  return tensor_of(device, dtype, shape, Values(size_t(shape.count()), value));
}

inline Tensor ints(Device& device, const std::vector<int32_t>& values) { return Tensor::from_host(device, values); }

inline Values random_values(Rng& rng, int64_t count, double scale = 1) {
  Values values(static_cast<size_t>(count));
  for (double& value : values) value = scale * rng.normal();
  return values;
}

inline Tensor random_tensor(Device& device, DType dtype, Shape shape, Rng& rng, double scale = 1) {
  return tensor_of(device, dtype, shape, random_values(rng, shape.count(), scale));
}

// The angles of rotary positions: (P, 2, pairs) f32, cosines then sines.
inline Tensor rope_table(Device& device, int64_t positions, int64_t pairs) {
  Values values;
  for (int64_t p = 0; p < positions; p++)
    for (int part = 0; part < 2; part++)
      for (int64_t i = 0; i < pairs; i++) {
        const double angle = double(p) * std::pow(10000.0, -double(i) / double(pairs));
        values.push_back(part == 0 ? std::cos(angle) : std::sin(angle));
      }
  return tensor_of(device, DType::kF32, {positions, 2, pairs}, values);
}

inline bool same_bits(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

inline void expect_same_bits(const Values& got, const Values& want, const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  size_t wrong = 0, first = 0;
  for (size_t i = got.size(); i-- > 0;)
    if (!same_bits(got[i], want[i])) wrong++, first = i;
  EXPECT_EQ(wrong, 0u) << what << ": first at " << first << ", got " << got[first] << ", expected the bits of "
                       << want[first];
}

// |got - want| <= relative |want| + absolute
inline void expect_close(const Values& got, const Values& want, double relative, double absolute,
                         const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); i++)
    ASSERT_NEAR(got[i], want[i], relative * std::fabs(want[i]) + absolute) << what << "[" << i << "]";
}

}  // namespace tenth::testing
