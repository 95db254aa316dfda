// RMSNorm, rotary positions, SwiGLU.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {
namespace {

using namespace cpu;

constexpr int64_t kNormBlock = 64;  // tokens whose part of dw is one partial sum

}  // namespace

void CpuBackend::rms_norm_forward(const Tensor& y, const Tensor& rstd, const Tensor& x, const Tensor& w, double eps) {
  with_type(x, "rms_norm", [&]<class T>(T) {
    const RmsNormTask<T> task = {.width = x.dim(1),
                                 .y = data_of<T>(y),
                                 .rstd = data_of<float>(rstd),
                                 .x = data_of<T>(x),
                                 .w = data_of<float>(w),
                                 .y_row = y.stride(0),
                                 .x_row = x.stride(0),
                                 .eps = float(eps)};
    parallel_for(x.dim(0), row_grain(task.width),
                 [&](int64_t begin, int64_t end) { pick<T>(*kernels().rows).rms_norm(task, begin, end); });
  });
}

void CpuBackend::rms_norm_backward(const Tensor& dx, const Tensor& dw, const Tensor& dy, const Tensor& dresidual,
                                   const Tensor& x, const Tensor& rstd, const Tensor& w) {
  with_type(x, "rms_norm", [&]<class T>(T) {
    const int64_t rows = x.dim(0), width = x.dim(1), blocks = (rows + kNormBlock - 1) / kNormBlock;
    if (rows == 0 || width == 0) return;
    const RmsNormGradTask<T> task = {.width = width,
                                     .dx = data_of<T>(dx),
                                     .dy = data_of<T>(dy),
                                     .dresidual = data_of<T>(dresidual),
                                     .x = data_of<T>(x),
                                     .rstd = data_of<float>(rstd),
                                     .w = data_of<float>(w),
                                     .dx_row = dx.stride(0),
                                     .dy_row = dy.stride(0),
                                     .dresidual_row = dresidual.defined() ? dresidual.stride(0) : 0,
                                     .x_row = x.stride(0)};
    const Tensor partial = Tensor::make(*this, DType::kF32, {blocks, width});
    float *parts = data_of<float>(partial), *total = data_of<float>(dw);
    parallel_for(blocks, row_grain(width * kNormBlock, 2), [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; b++)
        pick<T>(*kernels().rows)
            .rms_norm_grad(task, parts + b * width, b * kNormBlock, std::min(rows, (b + 1) * kNormBlock));
    });
    for (int64_t b = 0; b < blocks; b++) kernels().rows->f32.accumulate(total, parts + b * width, width);
  });
}

void CpuBackend::rope(const Tensor& y, const Tensor& x, const Tensor& positions, const Tensor& table, int64_t first,
                      RopeStyle style, bool inverse) {
  with_type(x, "rope", [&]<class T>(T) {
    const RopeTask<T> task = {.heads = x.dim(1),
                              .width = x.dim(2),
                              .first = first,
                              .pairs = table.dim(2),
                              .y = data_of<T>(y),
                              .x = data_of<T>(x),
                              .y_row = y.stride(0),
                              .y_head = y.stride(1),
                              .x_row = x.stride(0),
                              .x_head = x.stride(1),
                              .positions = positions.data<int32_t>(),
                              .table = data_of<float>(table),
                              .halves = style == RopeStyle::kHalves,
                              .inverse = inverse};
    parallel_for(x.dim(0), row_grain(task.heads * task.width, 2),
                 [&](int64_t begin, int64_t end) { pick<T>(*kernels().rows).rope(task, begin, end); });
  });
}

void CpuBackend::swiglu_forward(const Tensor& y, const Tensor& gate_up) {
  with_type(y, "swiglu", [&]<class T>(T) {
    const SwigluTask<T> task = {.width = y.dim(1),
                                .y = data_of<T>(y),
                                .gate_up = data_of<T>(gate_up),
                                .y_row = y.stride(0),
                                .gate_up_row = gate_up.stride(0)};
    parallel_for(y.dim(0), row_grain(task.width, 4),
                 [&](int64_t begin, int64_t end) { pick<T>(*kernels().rows).swiglu(task, begin, end); });
  });
}

void CpuBackend::swiglu_backward(const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up) {
  with_type(dy, "swiglu", [&]<class T>(T) {
    const SwigluGradTask<T> task = {.width = dy.dim(1),
                                    .dgate_up = data_of<T>(dgate_up),
                                    .dy = data_of<T>(dy),
                                    .gate_up = data_of<T>(gate_up),
                                    .dgate_up_row = dgate_up.stride(0),
                                    .dy_row = dy.stride(0),
                                    .gate_up_row = gate_up.stride(0)};
    parallel_for(dy.dim(0), row_grain(task.width, 6),
                 [&](int64_t begin, int64_t end) { pick<T>(*kernels().rows).swiglu_grad(task, begin, end); });
  });
}

}  // namespace tenth
