// A permutation of 0 .. n-1 that is drawn by (seed, stream) and computed a place at a time: shuffling without a table.
#pragma once
#include <cstdint>

namespace tenth {

// A balanced Feistel network over the next even number of bits, with Philox as its round function; a value past n goes
// round again until it falls inside ("cycle walking": Black and Rogaway, "Ciphers with arbitrary finite domains",
// 2002).
class Permutation {
 public:
  Permutation(uint64_t n, uint64_t seed, uint64_t stream);  // n from 1 to 2^62
  uint64_t operator()(uint64_t place) const;                // place < n

 private:
  uint64_t n_, seed_, stream_;
  int half_bits_;
};

}  // namespace tenth
