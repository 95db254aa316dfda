// How the operations of the CPU backend walk tensors and choose their kernels.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "tensor/tensor.h"

namespace tenth::cpu {

// Elements of streaming work below which a second thread costs more than it brings (about 10 microseconds).
constexpr int64_t kStreamGrain = 32768;

// Rows of `width` elements a thread should have at least, when an element costs about `cost` times a copy.
inline int64_t row_grain(int64_t width, int64_t cost = 1) {
  return std::max<int64_t>(1, kStreamGrain / std::max<int64_t>(1, width * cost));
}

// Calls body(T()) with T = float or uint16_t (bf16), the type of the tensor's elements in the kernels.
template <class Body>
decltype(auto) with_type(const Tensor& t, std::string_view op, const Body& body) {
  if (t.dtype() == DType::kF32) return body(float());
  require(t.dtype() == DType::kBF16, ErrorKind::kUnsupported,
          "[{}] the cpu backend computes in f32 or bf16, got {}; use the reference backend", op, name_of(t.dtype()));
  return body(uint16_t());
}

template <class T>
const auto& pick(const auto& kernels) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return kernels.f32;
  } else {
    return kernels.bf16;
  }
}

// The data as kernels see it; null for a tensor that is not defined. The element type is checked.
template <class T>
T* data_of(const Tensor& t) {
  if (!t.defined()) return nullptr;
  if constexpr (sizeof(T) == 2) {
    return reinterpret_cast<T*>(t.data<bf16>());
  } else {
    return t.data<T>();
  }
}

// Calls body(offsets, n) for runs of n elements that are contiguous in all operands (of one shape), offsets[i] the
// run's start in operand i. Runs are as long as the strides allow and are split over threads at multiples of 64
// elements.
template <size_t kOperands, class Body>
void each_run(const std::array<const Tensor*, kOperands>& operands, const Body& body) {
  const Shape& shape = operands[0]->shape();
  if (shape.count() == 0) return;
  int outer = shape.rank();  // dimensions from here on are one run
  int64_t run = 1;
  const auto joins = [&](int d) {
    for (const Tensor* t : operands)
      if (t->stride(d) != run && shape[d] != 1) return false;
    return true;
  };
  while (outer > 0 && joins(outer - 1)) run *= shape[--outer];
  if (outer == 0) {
    constexpr int64_t kUnit = 64;
    parallel_for((run + kUnit - 1) / kUnit, kStreamGrain / kUnit, [&](int64_t begin, int64_t end) {
      std::array<int64_t, kOperands> offsets;
      offsets.fill(begin * kUnit);
      body(offsets, std::min(run, end * kUnit) - begin * kUnit);
    });
    return;
  }
  parallel_for(shape.count() / run, row_grain(run + 16), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      std::array<int64_t, kOperands> offsets{};
      int64_t left = row;
      for (int d = outer - 1; d >= 0; left /= shape[d--])
        for (size_t i = 0; i < kOperands; i++) offsets[i] += left % shape[d] * operands[i]->stride(d);
      body(offsets, run);
    }
  });
}

// Words of Sight::selected from a token of the batch on, or null.
inline const int32_t* selected_of(const Tensor& selected, int64_t token) {
  return selected.defined() ? selected.data<int32_t>() + token * selected.stride(0) : nullptr;
}
inline int64_t selected_row(const Tensor& selected) { return selected.defined() ? selected.stride(0) : 0; }

}  // namespace tenth::cpu
