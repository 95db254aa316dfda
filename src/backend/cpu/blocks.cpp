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

// Rows of one group: of the rounded ones, and where their results lie.
struct Run {
  int64_t group, first, rows;
  void* y;
};

// Rows as rounded, [blocks of 32]: 40 bytes a block, in one piece, for a token makes some two hundred of these.
struct RoundedRows {
  Tensor memory;
  BlockRows rows;

  RoundedRows(Device& device, int64_t n, const BlockWeight& w)
      : memory(Tensor::make(device, DType::kU8, {n * (w.fine ? 2 : 1) * (w.inputs + 8 * w.blocks())})) {
    auto* scales = static_cast<float*>(memory.raw());
    const int64_t steps = w.fine ? 2 : 1, count = n * steps * w.blocks();
    auto* sums = reinterpret_cast<int32_t*>(scales + count);
    rows = {reinterpret_cast<int8_t*>(sums + count), scales, sums, w.blocks(), steps};
  }
  BlockRows from(int64_t row) const {
    const int64_t at = row * rows.steps * rows.blocks;
    return {rows.codes + at * BlockWeight::kInputs, rows.scales + at, rows.sums + at, rows.blocks, rows.steps};
  }
};

void quantize(const RoundedRows& to, int64_t first, const Tensor& x, int64_t inputs) {
  with_type(x, "block_linear_forward", [&]<class T>(T) {
    const T* from = data_of<T>(x);
    const BlockRows rows = to.from(first);
    parallel_for(x.dim(0), row_grain(inputs, 2), [&](int64_t begin, int64_t end) {
      if constexpr (sizeof(T) == 2)
        cpu::kernels().blocks->quantize_bf16(rows, from, x.stride(0), begin, end);
      else
        cpu::kernels().blocks->quantize_f32(rows, from, x.stride(0), begin, end);
    });
  });
}

std::vector<Run>& run_list() {
  thread_local std::vector<Run> runs;
  runs.clear();
  return runs;
}

// y: of the type and with the rows' stride of all runs.
void multiply(const std::vector<Run>& runs, const RoundedRows& x, const BlockWeight& w, const Tensor& bias,
              const Tensor& y) {
  const int64_t panels = w.panels(), parts = (panels + kPanelsOfPart - 1) / kPanelsOfPart;
  const bool y_f32 = y.dtype() == DType::kF32;
  const auto part = [&](int64_t i) {
    const Run& run = runs[size_t(i / parts)];
    const int64_t first = i % parts * kPanelsOfPart;
    BlockTask task = {.form = kernel_form(w.form), .rows = run.rows};
    task.outputs = std::min(w.outputs, (first + kPanelsOfPart) * kOutputs) - first * kOutputs;
    task.x = x.from(run.first);
    task.panels = w.data.data<uint8_t>() + (run.group * panels + first) * w.panel_bytes();
    task.panel_bytes = w.panel_bytes();
    task.scale_offset = w.scale_offset();
    task.least_offset = w.least_offset();
    task.y = static_cast<char*>(run.y) + first * kOutputs * (y_f32 ? 4 : 2);
    task.y_stride = y.stride(0);
    task.y_f32 = y_f32;
    if (bias) task.bias = bias.data<float>() + first * kOutputs;
    cpu::kernels().blocks->run(task);
  };
  const int64_t all = int64_t(runs.size()) * parts;
  int64_t rows = 0;
  for (const Run& run : runs) rows += run.rows;
  if (w.panel_bytes() * panels * int64_t(runs.size()) < kSerialBytes && rows < 8) {
    for (int64_t i = 0; i < all; i++) part(i);
  } else {
    parallel_each(all, part);
  }
}

void* element(const Tensor& t, int64_t i) { return static_cast<char*>(t.raw()) + i * int64_t(size_of(t.dtype())); }

}  // namespace

void CpuBackend::block_linear_forward(const Tensor& y, const Tensor& x, const BlockWeight& w, const Tensor& bias,
                                      const Tensor& offsets) {
  const int64_t n = x.dim(0);
  const RoundedRows rounded(*this, n, w);
  quantize(rounded, 0, x, w.inputs);
  std::vector<Run>& runs = run_list();
  if (!offsets && n > 0) runs.push_back({0, 0, n, y.raw()});
  for (int64_t e = 0; offsets && e < w.groups; e++) {
    const int32_t* at = offsets.data<int32_t>();
    require(at[e] >= 0 && at[e] <= at[e + 1] && at[e + 1] <= n, ErrorKind::kInternal,
            "[cpu] block_linear_forward: rows {} to {} of {} for expert {}", at[e], at[e + 1], n, e);
    if (at[e] < at[e + 1]) runs.push_back({e, at[e], at[e + 1] - at[e], element(y, at[e] * y.stride(0))});
  }
  multiply(runs, rounded, w, bias, y);
}

void CpuBackend::block_heads_forward(const Tensor& y, const Tensor& x, const BlockWeight& w) {
  const int64_t n = x.dim(0);
  if (n == 0) return;
  const RoundedRows rounded(*this, n * w.groups, w);
  std::vector<Run>& runs = run_list();
  for (int64_t h = 0; h < w.groups; h++) {
    if (n > 1) quantize(rounded, h * n, x.slice(1, h, h + 1), w.inputs);
    runs.push_back({h, h * n, n, element(y, h * y.stride(1))});
  }
  if (n == 1) quantize(rounded, 0, x[0], w.inputs);  // its heads are rows
  multiply(runs, rounded, w, Tensor(), y);
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
