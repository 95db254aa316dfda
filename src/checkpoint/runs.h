// Walks a tensor whose rows may be apart as runs of neighbouring elements, for copies between files and devices.
#pragma once
#include <algorithm>
#include <cstdint>

#include "tensor/tensor.h"

namespace tenth {

inline constexpr int64_t kRunElements = 1 << 16;  // the longest run: bounds what a copy holds on the host

// Calls visit(device address of the first element, elements) for runs that cover t in row-major order.
template <class Visit>
void for_each_run(const Tensor& t, const Visit& visit) {
  if (t.count() == 0) return;
  // Dimensions [outer, rank) lie end to end: one block of so many elements.
  int outer = t.rank();
  int64_t block = 1;
  while (outer > 0 && (t.dim(outer - 1) == 1 || t.stride(outer - 1) == block)) block *= t.dim(--outer);
  int64_t blocks = 1;
  for (int i = 0; i < outer; i++) blocks *= t.dim(i);

  for (int64_t n = 0; n < blocks; n++) {
    int64_t offset = 0, rest = n;
    for (int i = outer - 1; i >= 0; i--) {
      offset += rest % t.dim(i) * t.stride(i);
      rest /= t.dim(i);
    }
    for (int64_t done = 0; done < block; done += kRunElements) {
      std::byte* address = static_cast<std::byte*>(t.raw()) + size_t(offset + done) * size_of(t.dtype());
      visit(address, std::min(kRunElements, block - done));
    }
  }
}

}  // namespace tenth
