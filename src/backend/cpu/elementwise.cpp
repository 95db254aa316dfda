// Fill, copy, add, scale, sum of squares.
#include <cstring>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {
namespace {

using namespace cpu;

constexpr int64_t kSquaresBlock = 4096;  // elements whose squares make one partial sum

bool has_kernel(const Tensor& t) { return t.dtype() == DType::kF32 || t.dtype() == DType::kBF16; }
int kernel_index(const Tensor& t) { return t.dtype() == DType::kBF16; }

void* at(const Tensor& t, int64_t offset) {
  return static_cast<std::byte*>(t.raw()) + offset * int64_t(size_of(t.dtype()));
}

// Calls body with a pointer of the tensor's element type.
template <class Body>
void with_pointer(DType dtype, void* p, const Body& body) {
  switch (dtype) {
    case DType::kF64: return body(static_cast<double*>(p));
    case DType::kF32: return body(static_cast<float*>(p));
    case DType::kBF16: return body(static_cast<bf16*>(p));
    case DType::kI64: return body(static_cast<int64_t*>(p));
    case DType::kI32: return body(static_cast<int32_t*>(p));
    case DType::kU8: return body(static_cast<uint8_t*>(p));
    case DType::kF8E4M3: return body(static_cast<fp8_e4m3*>(p));
  }
}

// The conversions that no hot path makes (f64, integers).
void convert(DType to, void* y_, DType from, void* x_, int64_t n) {
  with_pointer(to, y_, [&](auto* y) {
    using Y = std::remove_reference_t<decltype(*y)>;
    with_pointer(from, x_, [&](auto* x) {
      for (int64_t i = 0; i < n; i++) {
        if constexpr (std::is_same_v<Y, bf16> || std::is_same_v<Y, fp8_e4m3>) {
          y[i] = Y(float(x[i]));
        } else {
          y[i] = Y(x[i]);
        }
      }
    });
  });
}

void require_float(const Tensor& t, const char* op) {
  require(has_kernel(t), ErrorKind::kUnsupported, "[{}] the cpu backend takes f32 or bf16, got {}", op,
          name_of(t.dtype()));
}

}  // namespace

void CpuBackend::fill(const Tensor& y, double value) {
  each_run<1>({&y}, [&](const auto& offsets, int64_t n) {
    if (has_kernel(y)) return kernels().rows->fill[kernel_index(y)](at(y, offsets[0]), float(value), n);
    with_pointer(y.dtype(), at(y, offsets[0]),
                 [&](auto* p) { std::fill_n(p, n, static_cast<std::remove_reference_t<decltype(*p)>>(value)); });
  });
}

void CpuBackend::copy(const Tensor& y, const Tensor& x) {
  each_run<2>({&y, &x}, [&](const auto& offsets, int64_t n) {
    void *to = at(y, offsets[0]), *from = at(x, offsets[1]);
    if (y.dtype() == x.dtype()) {
      std::memcpy(to, from, size_t(n) * size_of(x.dtype()));
    } else if (has_kernel(y) && has_kernel(x)) {
      kernels().rows->copy[kernel_index(y)][kernel_index(x)](to, from, n);
    } else {
      convert(y.dtype(), to, x.dtype(), from, n);
    }
  });
}

void CpuBackend::add(const Tensor& y, const Tensor& a, const Tensor& b) {
  for (const Tensor* t : {&y, &a, &b}) require_float(*t, "add");
  const auto kernel = kernels().rows->add[kernel_index(y)][kernel_index(a)][kernel_index(b)];
  each_run<3>({&y, &a, &b}, [&](const auto& offsets, int64_t n) {
    kernel(at(y, offsets[0]), at(a, offsets[1]), at(b, offsets[2]), n);
  });
}

void CpuBackend::scale(const Tensor& y, const Tensor& x, double factor) {
  for (const Tensor* t : {&y, &x}) require_float(*t, "scale");
  const auto kernel = kernels().rows->scale[kernel_index(y)][kernel_index(x)];
  each_run<2>({&y, &x},
              [&](const auto& offsets, int64_t n) { kernel(at(y, offsets[0]), at(x, offsets[1]), float(factor), n); });
}

double CpuBackend::sum_of_squares(const Tensor& x) {
  require(x.contiguous(), ErrorKind::kInternal, "sum_of_squares of a tensor of shape {} that is not contiguous",
          x.shape().text());
  return with_type(x, "sum_of_squares", [&]<class T>(T) {
    const T* values = data_of<T>(x);
    const int64_t n = x.count(), blocks = (n + kSquaresBlock - 1) / kSquaresBlock;
    const auto kernel = pick<T>(*kernels().rows).sum_of_squares;
    thread_local std::vector<double> partial_of_thread;
    std::vector<double>& partial = partial_of_thread;  // this thread's, also within the loop below
    partial.resize(size_t(blocks));
    parallel_for(blocks, kStreamGrain / kSquaresBlock, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++)
        partial[size_t(i)] = kernel(values + i * kSquaresBlock, std::min(kSquaresBlock, n - i * kSquaresBlock));
    });
    double total = 0;
    for (double part : partial) total += part;
    return total;
  });
}

}  // namespace tenth
