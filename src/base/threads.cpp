#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace tenth {
namespace {

int default_count() {
  if (const char* text = std::getenv("TENTH_THREADS")) {
    int count = std::atoi(text);
    if (count > 0) return std::min(count, 1024);
  }
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return 1;
}

std::atomic<int> count_ = 0;

}  // namespace

int thread_count() {
  int count = count_.load(std::memory_order_relaxed);
  if (count == 0) count_ = count = default_count();
  return count;
}

void set_thread_count(int count) { count_ = std::clamp(count, 1, 1024); }

}  // namespace tenth
