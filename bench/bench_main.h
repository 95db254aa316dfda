// What benches begin with.
#pragma once
#include <benchmark/benchmark.h>

#include <string>

#include "base/threads.h"

namespace tenth {

inline int run_benches(int argc, char** argv, void (*register_all)()) {
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("threads", std::to_string(thread_count()));
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace tenth
