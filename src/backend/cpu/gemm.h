// Matrix products over all threads.
#pragma once
#include <cstdint>
#include <span>

#include "backend/cpu/gemm_table.h"

namespace tenth::cpu {

// Runs the tasks, cut into parts of about equal work where they are large enough to share among threads. Many small
// tasks (the experts of a layer) cost one parallel region. Results depend neither on the cut nor on the number of
// threads.
void run_tasks(const GemmKernels& kernels, std::span<const GemmTask> tasks);

// Elements of a packed matrix B of n columns (its panels, one after the other), and where its column panels begin.
int64_t panel_elements(const GemmKernels& kernels, int64_t k);
int64_t panel_count(const GemmKernels& kernels, int64_t n);

}  // namespace tenth::cpu
