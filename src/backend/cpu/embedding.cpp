// Rows of a table by index, and the sum of their gradients.
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {

using namespace cpu;

void CpuBackend::embedding_forward(const Tensor& y, const Tensor& ids, const Tensor& w) { gather_rows(y, w, ids); }

void CpuBackend::gather_rows(const Tensor& y, const Tensor& x, const Tensor& rows) {
  require(y.dtype() == x.dtype(), ErrorKind::kInternal, "gather_rows from {} to {}", name_of(x.dtype()),
          name_of(y.dtype()));
  const int32_t* index = rows.data<int32_t>();
  const int64_t element = int64_t(size_of(x.dtype()));
  std::byte* to = static_cast<std::byte*>(y.raw());
  const std::byte* from = static_cast<const std::byte*>(x.raw());
  parallel_for(y.dim(0), row_grain(y.dim(1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++)
      std::memcpy(to + r * y.stride(0) * element, from + index[r] * x.stride(0) * element, size_t(y.dim(1) * element));
  });
}

// Threads own columns, not rows: each adds the tokens in their order, whatever ids come twice.
void CpuBackend::embedding_backward(const Tensor& dw, const Tensor& dy, const Tensor& ids) {
  with_type(dy, "embedding_backward", [&]<class T>(T) {
    constexpr int64_t kLine = 16;
    float* sums = data_of<float>(dw);
    const T* gradients = data_of<T>(dy);
    const int32_t* id = ids.data<int32_t>();
    const int64_t tokens = dy.dim(0), width = dy.dim(1);
    const auto kernel = pick<T>(*kernels().rows).accumulate;
    parallel_for((width + kLine - 1) / kLine, row_grain(tokens * kLine), [&](int64_t begin, int64_t end) {
      const int64_t first = begin * kLine, count = std::min(width, end * kLine) - first;
      for (int64_t n = 0; n < tokens; n++)
        kernel(sums + id[n] * dw.stride(0) + first, gradients + n * dy.stride(0) + first, count);
    });
  });
}

}  // namespace tenth
