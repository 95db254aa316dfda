#include "base/permutation.h"

#include <bit>

#include "base/rng.h"

namespace tenth {

Permutation::Permutation(uint64_t n, uint64_t seed, uint64_t stream)
    : n_(n), seed_(seed), stream_(stream), half_bits_((std::bit_width(n - 1) + 1) / 2) {}

uint64_t Permutation::operator()(uint64_t place) const {
  if (n_ <= 1) return place;
  const uint64_t mask = (uint64_t(1) << half_bits_) - 1;
  do {
    uint64_t left = place >> half_bits_, right = place & mask;
    for (uint64_t round = 0; round < 8; round++) {
      const uint64_t drawn = philox(seed_, stream_, round << 32 | right)[0];
      const uint64_t next = left ^ (drawn & mask);
      left = right;
      right = next;
    }
    place = left << half_bits_ | right;
  } while (place >= n_);
  return place;
}

}  // namespace tenth
