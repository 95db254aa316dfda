#include "backend/cpu/gemm.h"

#include <algorithm>
#include <vector>

#include "backend/cpu/scratch.h"
#include "base/threads.h"

namespace tenth::cpu {
namespace {

// Below this many operations (about 20 microseconds) waking other threads costs more than it brings.
constexpr double kSerialWork = 4e6;
constexpr int kPartsPerThread = 4;

// Thin products are bound by reading B, as if they had a few rows more.
double work_of(const GemmTask& t) { return 2.0 * double(std::max<int64_t>(t.m, 4)) * double(t.n) * double(t.k); }

// A task as a grid of parts; its parts have the numbers from `first` on.
struct Cut {
  int64_t first, row_parts, column_parts;
};

// Halves the longer side until there are enough parts: nearly square parts read the least for their work.
Cut cut_task(const GemmKernels& kernels, const GemmTask& t, int64_t parts, int64_t first) {
  Cut cut = {first, 1, 1};
  while (cut.row_parts * cut.column_parts < parts) {
    const int64_t rows = t.m / cut.row_parts, columns = t.n / cut.column_parts;
    if (rows >= columns && rows >= 2 * kernels.rows)
      cut.row_parts *= 2;
    else if (columns >= 2 * kernels.panel)
      cut.column_parts *= 2;
    else if (rows >= 2 * kernels.rows)
      cut.row_parts *= 2;
    else
      break;
  }
  return cut;
}

// Part i of n elements, cut at multiples of a tile.
struct Range {
  int64_t begin, end;
};
Range range_of(int64_t n, int64_t tile, int64_t parts, int64_t i) {
  const int64_t tiles = (n + tile - 1) / tile;
  return {std::min(n, tiles * i / parts * tile), std::min(n, tiles * (i + 1) / parts * tile)};
}

const void* advance(const void* p, int64_t bytes) { return static_cast<const char*>(p) + bytes; }

GemmTask part_of(const GemmKernels& kernels, const GemmTask& t, const Cut& cut, int64_t part) {
  const Range rows = range_of(t.m, kernels.rows, cut.row_parts, part % cut.row_parts);
  const Range columns = range_of(t.n, kernels.panel, cut.column_parts, part / cut.row_parts);
  GemmTask p = t;
  p.m = rows.end - rows.begin;
  p.n = columns.end - columns.begin;
  p.a = advance(t.a, rows.begin * (t.a_transposed ? 1 : t.a_stride) * (t.a_f32 ? 4 : 2));
  int64_t b_step = 1;
  if (t.b_layout == GemmLayout::kColumns) b_step = t.b_stride;
  if (t.b_layout == GemmLayout::kPanels) b_step = panel_elements(kernels, t.k) / kernels.panel;
  p.b = advance(t.b, columns.begin * b_step * kernels.element_bytes);
  p.c = static_cast<char*>(t.c) + (rows.begin * t.c_stride + columns.begin) * (t.c_f32 ? 4 : 2);
  if (t.bias) p.bias = t.bias + columns.begin;
  if (t.add) p.add = advance(t.add, (rows.begin * t.add_stride + columns.begin) * kernels.element_bytes);
  p.diagonal = t.diagonal + columns.begin - rows.begin;
  return p;
}

void run_one(const GemmKernels& kernels, const GemmTask& task) {
  if (task.m > 0 && task.n > 0) kernels.run(task, scratch((kernels.scratch_bytes + 3) / 4));
}

}  // namespace

int64_t panel_elements(const GemmKernels& kernels, int64_t k) {
  return (k + kernels.k_multiple - 1) / kernels.k_multiple * kernels.k_multiple * kernels.panel;
}

int64_t panel_count(const GemmKernels& kernels, int64_t n) { return (n + kernels.panel - 1) / kernels.panel; }

void run_tasks(const GemmKernels& kernels, std::span<const GemmTask> tasks) {
  double work = 0;
  for (const GemmTask& t : tasks) work += work_of(t);
  if (work < kSerialWork || thread_count() == 1) {
    for (const GemmTask& t : tasks) run_one(kernels, t);
    return;
  }
  thread_local std::vector<Cut> cuts_of_thread;
  std::vector<Cut>& cuts = cuts_of_thread;
  cuts.clear();
  const double part_work = std::max(work / (kPartsPerThread * thread_count()), kSerialWork / 4);
  int64_t parts = 0;
  for (const GemmTask& t : tasks) {
    cuts.push_back(cut_task(kernels, t, int64_t(work_of(t) / part_work + 0.5), parts));
    parts += cuts.back().row_parts * cuts.back().column_parts;
  }
  parallel_each(parts, [&](int64_t i) {
    const auto after =
        std::upper_bound(cuts.begin(), cuts.end(), i, [](int64_t n, const Cut& c) { return n < c.first; });
    const Cut& cut = *(after - 1);
    run_one(kernels, part_of(kernels, tasks[size_t(after - 1 - cuts.begin())], cut, i - cut.first));
  });
}

}  // namespace tenth::cpu
