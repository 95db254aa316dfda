#include "backend/cpu/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "backend/cpu/kernels.h"
#include "base/error.h"
#include "base/threads.h"

namespace tenth {
namespace {

// The best of several runs of about a millisecond: what others took of the machine in between does not count.
double measure(const cpu::GemmKernels& kernels) {
  const int threads = thread_count();
  double best = 0;
  int64_t steps = 10'000;
  for (int run = 0; run < 10; run++) {
    std::atomic<int64_t> operations = 0;
    const auto start = std::chrono::steady_clock::now();
    parallel_each(threads, [&](int64_t) { operations += kernels.register_loop(steps); });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, double(operations.load()) / std::max(seconds, 1e-9));
    if (seconds < 1e-3) steps *= 2;
  }
  return best / 1e9;
}

}  // namespace

double measured_peak_gflops(DType dtype) {
  if (dtype == DType::kBF16) {
    static const double peak = measure(*cpu::kernels().gemm_bf16);
    return peak;
  }
  require(dtype == DType::kF32, ErrorKind::kUnsupported, "peak: expected f32 or bf16, got {}", name_of(dtype));
  static const double peak = measure(*cpu::kernels().gemm_f32);
  return peak;
}

}  // namespace tenth
