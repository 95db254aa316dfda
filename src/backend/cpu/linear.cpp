// The linear family: every operation is a list of matrix products (gemm.h), one for each expert or head.
#include <array>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels.h"
#include "base/threads.h"

namespace tenth {
namespace {

using cpu::GemmKernels;
using cpu::GemmLayout;
using cpu::GemmTask;

const GemmKernels& kernels_for(DType dtype, const char* op) {
  if (dtype == DType::kF32) return *cpu::kernels().gemm_f32;
  if (dtype == DType::kBF16) return *cpu::kernels().gemm_bf16;
  fail(ErrorKind::kUnsupported, "[cpu] {}: expected f32 or bf16, got {}; use the reference backend", op,
       name_of(dtype));
}

// Checks what a product of these types can be, once for an operation.
void require_types(const char* op, const Tensor& c, const Tensor& a, const Tensor& b) {
  const bool f32 = b.dtype() == DType::kF32;
  const auto fits = [&](DType t) { return t == DType::kF32 || (!f32 && t == DType::kBF16); };
  require(fits(a.dtype()) && fits(c.dtype()), ErrorKind::kInternal, "[cpu] {}: {} = {} x {} is not a product it makes",
          op, name_of(c.dtype()), name_of(a.dtype()), name_of(b.dtype()));
}

const void* element(const Tensor& t, int64_t i) {
  return static_cast<const char*>(t.raw()) + i * int64_t(size_of(t.dtype()));
}

void set_a(GemmTask& task, const Tensor& a, int64_t first, int64_t stride, bool transposed) {
  task.a = element(a, first);
  task.a_stride = stride;
  task.a_transposed = transposed;
  task.a_f32 = a.dtype() == DType::kF32;
}
void set_b(GemmTask& task, const Tensor& b, int64_t first, int64_t stride, GemmLayout layout) {
  task.b = element(b, first);
  task.b_stride = stride;
  task.b_layout = layout;
}
void set_c(GemmTask& task, const Tensor& c, int64_t first, int64_t stride) {
  task.c = const_cast<void*>(element(c, first));
  task.c_stride = stride;
  task.c_f32 = c.dtype() == DType::kF32;
}

// The list for one operation; its memory stays with the thread.
std::vector<GemmTask>& task_list() {
  thread_local std::vector<GemmTask> tasks;
  tasks.clear();
  return tasks;
}

// Calls body(group, first row, rows): once with all rows where there are no offsets.
template <class Body>
void for_groups(const Tensor& offsets, int64_t rows, const Body& body) {
  if (!offsets) return body(int64_t(0), int64_t(0), rows);
  const int32_t* at = offsets.data<int32_t>();
  const int64_t groups = offsets.dim(0) - 1;
  for (int64_t e = 0; e < groups; e++) {
    require(at[e] >= 0 && at[e] <= at[e + 1] && at[e + 1] <= rows, ErrorKind::kInternal,
            "[cpu] grouped linear: rows {} to {} of {} for expert {}", at[e], at[e + 1], rows, e);
    body(e, int64_t(at[e]), int64_t(at[e + 1] - at[e]));
  }
}

template <class T>
void add_column_sums(float* sums, const Tensor& x) {
  const T* data = x.data<T>();
  const int64_t rows = x.dim(0), stride = x.stride(0);
  const int64_t grain = std::max<int64_t>(16, 200'000 / std::max<int64_t>(rows, 1));
  parallel_for(x.dim(1), grain, [&](int64_t begin, int64_t end) {
    for (int64_t n = 0; n < rows; n++) {
      for (int64_t j = begin; j < end; j++) sums[j] += float(data[n * stride + j]);
    }
  });
}

}  // namespace

Tensor CpuBackend::pack_weight(const Tensor& w) {
  const GemmKernels& kernels = kernels_for(w.dtype(), "pack_weight");
  const bool grouped = w.rank() == 3;
  const int64_t groups = grouped ? w.dim(0) : 1, outputs = w.dim(-2), inputs = w.dim(-1);
  const int64_t panels = panel_count(kernels, outputs), elements = panel_elements(kernels, inputs);
  Tensor packed = Tensor::make(*this, w.dtype(), {groups, panels, elements});
  const int64_t size = int64_t(size_of(w.dtype()));
  char* to = static_cast<char*>(packed.raw());
  const int64_t grain = std::max<int64_t>(1, 65'536 / std::max<int64_t>(elements, 1));
  parallel_for(groups * panels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t group = i / panels, first = i % panels * kernels.panel;
      const int64_t from = (grouped ? group * w.stride(0) : 0) + first * w.stride(-2);
      kernels.pack(to + i * elements * size, element(w, from), w.stride(-2), GemmLayout::kColumns, inputs,
                   std::min<int64_t>(kernels.panel, outputs - first));
    }
  });
  return packed;
}

void CpuBackend::linear_forward(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& packed,
                                const Tensor& bias, const Tensor& offsets) {
  const Tensor& b = packed ? packed : w;
  const GemmKernels& kernels = kernels_for(b.dtype(), "linear_forward");
  require_types("linear_forward", y, x, b);
  const int64_t outputs = y.dim(1), inputs = x.dim(1);
  const int64_t elements = panel_elements(kernels, inputs), panels = panel_count(kernels, outputs);
  if (!(packed ? packed.dim(1) == panels && packed.dim(2) == elements : w.dim(-2) == outputs && w.dim(-1) == inputs))
    fail(ErrorKind::kInternal, "[cpu] linear_forward: a weight of shape {} for {} inputs and {} outputs",
         b.shape().text(), inputs, outputs);
  std::vector<GemmTask>& tasks = task_list();
  for_groups(offsets, x.dim(0), [&](int64_t group, int64_t first, int64_t rows) {
    if (rows == 0) return;
    GemmTask task = {.m = rows, .n = outputs, .k = inputs};
    set_a(task, x, first * x.stride(0), x.stride(0), false);
    if (packed)
      set_b(task, packed, group * panels * elements, 0, GemmLayout::kPanels);
    else
      set_b(task, w, offsets ? group * w.stride(0) : 0, w.stride(-2), GemmLayout::kColumns);
    set_c(task, y, first * y.stride(0), y.stride(0));
    if (bias) task.bias = bias.data<float>();
    tasks.push_back(task);
  });
  cpu::run_tasks(kernels, tasks);
}

void CpuBackend::linear_backward_input(const Tensor& dx, const Tensor& dy, const Tensor& w, const Tensor& offsets,
                                       bool assign) {
  const GemmKernels& kernels = kernels_for(w.dtype(), "linear_backward_input");
  require_types("linear_backward_input", dx, dy, w);
  require(assign || dx.dtype() == DType::kF32, ErrorKind::kInternal, "[cpu] linear_backward_input: sums in {}, not f32",
          name_of(dx.dtype()));
  std::vector<GemmTask>& tasks = task_list();
  for_groups(offsets, dy.dim(0), [&](int64_t group, int64_t first, int64_t rows) {
    if (rows == 0) return;
    GemmTask task = {.m = rows, .n = w.dim(-1), .k = w.dim(-2)};
    set_a(task, dy, first * dy.stride(0), dy.stride(0), false);
    set_b(task, w, offsets ? group * w.stride(0) : 0, w.stride(-2), GemmLayout::kRows);
    set_c(task, dx, first * dx.stride(0), dx.stride(0));
    task.accumulate = !assign;
    tasks.push_back(task);
  });
  cpu::run_tasks(kernels, tasks);
}

// The sum over tokens is the k of these products: one thread sums all tokens of its part of dw, in their order.
void CpuBackend::linear_backward_weight(const Tensor& dw, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                                        const Tensor& offsets, bool assign) {
  const GemmKernels& kernels = kernels_for(x.dtype(), "linear_backward_weight");
  require_types("linear_backward_weight", dw, dy, x);
  require(dw.dtype() == DType::kF32, ErrorKind::kInternal, "[cpu] linear_backward_weight: dw is {}, not f32",
          name_of(dw.dtype()));
  std::vector<GemmTask>& tasks = task_list();
  for_groups(offsets, x.dim(0), [&](int64_t group, int64_t first, int64_t rows) {
    if (rows == 0) {
      if (assign) fill(offsets ? dw[group] : dw, 0);
      return;
    }
    GemmTask task = {.m = dw.dim(-2), .n = dw.dim(-1), .k = rows};
    set_a(task, dy, first * dy.stride(0), dy.stride(0), true);
    set_b(task, x, first * x.stride(0), x.stride(0), GemmLayout::kRows);
    set_c(task, dw, offsets ? group * dw.stride(0) : 0, dw.stride(-2));
    task.accumulate = !assign;
    tasks.push_back(task);
  });
  cpu::run_tasks(kernels, tasks);
  if (!dbias) return;
  if (dy.dtype() == DType::kF32)
    add_column_sums<float>(dbias.data<float>(), dy);
  else
    add_column_sums<bf16>(dbias.data<float>(), dy);
}

void CpuBackend::matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                        const MatmulArgs& args) {
  const GemmKernels& kernels = kernels_for(b.dtype(), "matmul");
  require_types("matmul", c, a, b);
  GemmTask task = {.m = c.dim(0), .n = c.dim(1), .k = a.dim(transpose_a ? 0 : 1)};
  set_a(task, a, 0, a.stride(0), transpose_a);
  set_b(task, b, 0, b.stride(0), transpose_b ? GemmLayout::kColumns : GemmLayout::kRows);
  set_c(task, c, 0, c.stride(0));
  task.symmetric = args.symmetric;
  if (args.add) {
    require(args.add.dtype() == b.dtype(), ErrorKind::kInternal, "[cpu] matmul: {} is added to a product of {}",
            name_of(args.add.dtype()), name_of(b.dtype()));
    task.add = args.add.raw();
    task.add_stride = args.add.stride(0);
    task.beta = float(args.beta);
  }
  task.alpha = float(args.alpha);
  cpu::run_tasks(kernels, std::span(&task, 1));
  if (args.symmetric) kernels.mirror(task);
}

void CpuBackend::mla_absorb_query(const Tensor& q_latent, const Tensor& q_nope, const Tensor& w) {
  const GemmKernels& kernels = kernels_for(w.dtype(), "mla_absorb_query");
  require_types("mla_absorb_query", q_latent, q_nope, w);
  std::vector<GemmTask>& tasks = task_list();
  for (int64_t h = 0; h < w.dim(0); h++) {
    GemmTask task = {.m = q_nope.dim(0), .n = w.dim(2), .k = q_nope.dim(2)};
    set_a(task, q_nope, h * q_nope.stride(1), q_nope.stride(0), false);
    set_b(task, w, h * w.stride(0), w.stride(1), GemmLayout::kRows);
    set_c(task, q_latent, h * q_latent.stride(1), q_latent.stride(0));
    tasks.push_back(task);
  }
  cpu::run_tasks(kernels, tasks);
}

void CpuBackend::mla_absorb_output(const Tensor& out, const Tensor& latent, const Tensor& w) {
  const GemmKernels& kernels = kernels_for(w.dtype(), "mla_absorb_output");
  require_types("mla_absorb_output", out, latent, w);
  const int64_t values = out.dim(2), keys = w.dim(1) - values;
  std::vector<GemmTask>& tasks = task_list();
  for (int64_t h = 0; h < w.dim(0); h++) {
    GemmTask task = {.m = latent.dim(0), .n = values, .k = w.dim(2)};
    set_a(task, latent, h * latent.stride(1), latent.stride(0), false);
    set_b(task, w, h * w.stride(0) + keys * w.stride(1), w.stride(1), GemmLayout::kColumns);
    set_c(task, out, h * out.stride(1), out.stride(0));
    tasks.push_back(task);
  }
  cpu::run_tasks(kernels, tasks);
}

}  // namespace tenth
