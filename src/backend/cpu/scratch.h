// Memory for a kernel's intermediate values: one block a thread, which grows to the largest use and stays.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace tenth::cpu {

// At least count floats, aligned to 64 bytes, contents undefined; valid until this thread's next call.
inline float* scratch(int64_t count) {
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  thread_local std::unique_ptr<float, Free> block;
  thread_local int64_t size = 0;
  if (count <= size) return block.get();
  size = 0;
  block.reset();
  const int64_t wanted = (count + count / 4 + 1023) / 1024 * 1024;
  block.reset(static_cast<float*>(std::aligned_alloc(64, size_t(wanted) * sizeof(float))));
  require(block != nullptr, ErrorKind::kIo, "out of memory: the system refused {} bytes for a kernel",
          wanted * int64_t(sizeof(float)));
  size = wanted;
  return block.get();
}

}  // namespace tenth::cpu
