// Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A draw is a pure function of (seed, stream, index), so that any order of evaluation and any number of threads gives
// the same numbers, and a state is saved as one integer.
#pragma once
#include <array>
#include <cstdint>

namespace tenth {

std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t index);

class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  uint64_t next_u64();
  double uniform();                            // [0, 1), 53 bits
  double normal();                             // mean 0, variance 1 (Box-Muller; two draws a number)
  uint64_t below(uint64_t n);                  // 0 .. n-1, unbiased; n > 0
  int64_t between(int64_t low, int64_t high);  // low .. high, both included
  bool chance(double p) { return uniform() < p; }

  // The place in the stream, to save and restore.
  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }

 private:
  uint64_t seed_, stream_;
  uint64_t position_ = 0;  // in 32-bit words
};

}  // namespace tenth
