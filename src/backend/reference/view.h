// How the reference backend reads and writes tensors: every element is a double on this side, whatever its type and
// strides are on the other, so that the code beside an equation is the equation.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace tenth::reference {

// One element of a tensor. Reads as double; an assignment rounds once to the tensor's type.
class Element {
 public:
  Element(void* base, int64_t offset, DType dtype) : base_(base), offset_(offset), dtype_(dtype) {}
  Element(const Element&) = default;

  operator double() const {
    switch (dtype_) {
      case DType::kF64: return static_cast<double*>(base_)[offset_];
      case DType::kF32: return static_cast<float*>(base_)[offset_];
      case DType::kBF16: return static_cast<bf16*>(base_)[offset_];
      case DType::kI64: return double(static_cast<int64_t*>(base_)[offset_]);
      case DType::kI32: return static_cast<int32_t*>(base_)[offset_];
      case DType::kU8: return static_cast<uint8_t*>(base_)[offset_];
      case DType::kF8E4M3: return static_cast<fp8_e4m3*>(base_)[offset_];
    }
    return 0;
  }
  void operator=(double value) const {
    switch (dtype_) {
      case DType::kF64: static_cast<double*>(base_)[offset_] = value; break;
      case DType::kF32: static_cast<float*>(base_)[offset_] = float(value); break;
      case DType::kBF16: static_cast<bf16*>(base_)[offset_] = bf16(value); break;
      case DType::kI64: static_cast<int64_t*>(base_)[offset_] = int64_t(value); break;
      case DType::kI32: static_cast<int32_t*>(base_)[offset_] = int32_t(value); break;
      case DType::kU8: static_cast<uint8_t*>(base_)[offset_] = uint8_t(value); break;
      case DType::kF8E4M3: static_cast<fp8_e4m3*>(base_)[offset_] = fp8_e4m3(float(value)); break;
    }
  }
  void operator=(const Element& other) const { *this = double(other); }
  void operator+=(double value) const { *this = double(*this) + value; }

 private:
  void* base_;
  int64_t offset_;
  DType dtype_;
};

// x(n, h, d) of a tensor with any strides.
class View {
 public:
  View() = default;
  explicit View(const Tensor& t) : dtype_(t.defined() ? t.dtype() : DType::kF32), rank_(t.rank()) {
    if (!t.defined()) return;
    base_ = t.raw();
    for (int i = 0; i < rank_; i++) strides_[size_t(4 - rank_ + i)] = t.stride(i);
  }
  explicit operator bool() const { return base_ != nullptr; }

  template <class... Index>
  Element operator()(Index... index) const {
    size_t i = size_t(4 - rank_);
    int64_t offset = 0;
    ((offset += int64_t(index) * strides_[i++]), ...);
    return {base_, offset, dtype_};
  }
  // The index as each() gives it.
  Element operator()(const std::array<int64_t, 4>& at) const {
    return {base_, at[0] * strides_[0] + at[1] * strides_[1] + at[2] * strides_[2] + at[3] * strides_[3], dtype_};
  }

 private:
  void* base_ = nullptr;
  DType dtype_ = DType::kF32;
  int rank_ = 0;
  std::array<int64_t, 4> strides_{};
};

// Calls body(index) for every index of the shape, the last dimension fastest; missing leading dimensions count as 1.
template <class Body>
void each(const Shape& shape, const Body& body) {
  std::array<int64_t, 4> dims = {1, 1, 1, 1}, at{};
  for (int i = 0; i < shape.rank(); i++) dims[size_t(4 - shape.rank() + i)] = shape[i];
  for (at[0] = 0; at[0] < dims[0]; at[0]++)
    for (at[1] = 0; at[1] < dims[1]; at[1]++)
      for (at[2] = 0; at[2] < dims[2]; at[2]++)
        for (at[3] = 0; at[3] < dims[3]; at[3]++) body(at);
}

// A dense array of doubles, zero at first: sums before they are rounded.
class Array {
 public:
  explicit Array(int64_t a, int64_t b = 1, int64_t c = 1) : b_(b), c_(c), values_(size_t(a * b * c)) {}
  double& operator()(int64_t i, int64_t j = 0, int64_t k = 0) { return values_[size_t((i * b_ + j) * c_ + k)]; }

 private:
  int64_t b_, c_;
  std::vector<double> values_;
};

// A tensor of rank 1 or 2, read once.
inline Array load(const Tensor& t) {
  const int64_t rows = t.rank() == 2 ? t.dim(0) : 1, columns = t.dim(-1);
  Array array(rows, columns);
  View view(t);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) array(i, j) = t.rank() == 2 ? view(i, j) : view(j);
  return array;
}

}  // namespace tenth::reference
