// Products with weights of 8 or 4 bits: the rows are rounded to 8 bits once, then each thread takes runs of panels.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/scratch.h"

namespace tenth {
namespace {

using namespace cpu;

constexpr int64_t kOutputs = BlockWeight::kOutputs;
// Panels of a part: enough that a part is worth handing out, few enough that the threads end together.
constexpr int64_t kPanelsOfPart = 8;
// Code bytes below which waking other threads costs more than it brings.
constexpr int64_t kSerialBytes = 64 << 10;

BlockForm kernel_form(BlockWeight::Form form) {
  switch (form) {
    case BlockWeight::Form::kInt8: return BlockForm::kInt8;
    case BlockWeight::Form::kInt4: return BlockForm::kInt4;
    case BlockWeight::Form::kInt4Min: return BlockForm::kInt4Min;
  }
  return BlockForm::kInt8;
}

// Rows of one group.
struct Run {
  int64_t group, first, rows;
};

std::vector<Run>& runs_of(const Tensor& offsets, int64_t rows, int64_t groups) {
  thread_local std::vector<Run> runs;
  runs.clear();
  if (!offsets) {
    if (rows > 0) runs.push_back({0, 0, rows});
    return runs;
  }
  const int32_t* at = offsets.data<int32_t>();
  for (int64_t e = 0; e < groups; e++) {
    require(at[e] >= 0 && at[e] <= at[e + 1] && at[e + 1] <= rows, ErrorKind::kInternal,
            "[cpu] block_linear_forward: rows {} to {} of {} for expert {}", at[e], at[e + 1], rows, e);
    if (at[e] < at[e + 1]) runs.push_back({e, at[e], at[e + 1] - at[e]});
  }
  return runs;
}

}  // namespace

void CpuBackend::block_linear_forward(const Tensor& y, const Tensor& x, const BlockWeight& w, const Tensor& bias,
                                      const Tensor& offsets) {
  const BlockKernels& kernels = *cpu::kernels().blocks;
  const int64_t n = x.dim(0), blocks = w.blocks();
  // A row's scales, sums and codes, 40 bytes a block; one piece, for a token makes some two hundred of these.
  const Tensor memory = Tensor::make(*this, DType::kU8, {n * (w.inputs + 8 * blocks)});
  auto* scales = static_cast<float*>(memory.raw());
  auto* sums = reinterpret_cast<int32_t*>(scales + n * blocks);
  const BlockRows rows = {reinterpret_cast<int8_t*>(sums + n * blocks), scales, sums, blocks};
  with_type(x, "block_linear_forward", [&]<class T>(T) {
    const T* from = data_of<T>(x);
    parallel_for(n, row_grain(w.inputs, 2), [&](int64_t begin, int64_t end) {
      if constexpr (sizeof(T) == 2)
        kernels.quantize_bf16(rows, from, x.stride(0), begin, end);
      else
        kernels.quantize_f32(rows, from, x.stride(0), begin, end);
    });
  });
  const std::vector<Run>& runs = runs_of(offsets, n, w.groups);
  const int64_t panels = w.panels(), parts = (panels + kPanelsOfPart - 1) / kPanelsOfPart;
  const bool y_f32 = y.dtype() == DType::kF32;
  const auto part = [&](int64_t i) {
    const Run& run = runs[size_t(i / parts)];
    const int64_t first = i % parts * kPanelsOfPart;
    BlockTask task = {.form = kernel_form(w.form), .rows = run.rows};
    task.outputs = std::min(w.outputs, (first + kPanelsOfPart) * kOutputs) - first * kOutputs;
    task.x = {rows.codes + run.first * w.inputs, rows.scales + run.first * blocks, rows.sums + run.first * blocks,
              blocks};
    task.panels = w.data.data<uint8_t>() + (run.group * panels + first) * w.panel_bytes();
    task.panel_bytes = w.panel_bytes();
    task.scale_offset = w.scale_offset();
    task.least_offset = w.least_offset();
    task.y = static_cast<char*>(y.raw()) + (run.first * y.stride(0) + first * kOutputs) * (y_f32 ? 4 : 2);
    task.y_stride = y.stride(0);
    task.y_f32 = y_f32;
    if (bias) task.bias = bias.data<float>() + first * kOutputs;
    kernels.run(task);
  };
  const int64_t all = int64_t(runs.size()) * parts;
  if (w.panel_bytes() * panels * int64_t(runs.size()) < kSerialBytes && n < 8) {
    for (int64_t i = 0; i < all; i++) part(i);
  } else {
    parallel_each(all, part);
  }
}

void CpuBackend::block_embedding_forward(const Tensor& y, const Tensor& ids, const BlockWeight& w) {
  const int32_t* id = ids.data<int32_t>();
  parallel_for(ids.dim(0), row_grain(w.inputs, 8), [&](int64_t begin, int64_t end) {
    float* row = cpu::scratch(w.inputs);
    for (int64_t n = begin; n < end; n++) {
      unpack_row(w, 0, id[n], row);
      for (int64_t i = 0; i < w.inputs; i++) {
        if (y.dtype() == DType::kF32)
          y.data<float>()[n * y.stride(0) + i] = row[i];
        else
          y.data<bf16>()[n * y.stride(0) + i] = bf16(row[i]);
      }
    }
  });
}

}  // namespace tenth
