#include "base/rng.h"

#include <cmath>

namespace tenth {

std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t index) {
  std::array<uint32_t, 4> c = {uint32_t(index), uint32_t(index >> 32), uint32_t(stream), uint32_t(stream >> 32)};
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = uint64_t(0xD2511F53u) * c[0], p1 = uint64_t(0xCD9E8D57u) * c[2];
    c = {uint32_t(p1 >> 32) ^ c[1] ^ k0, uint32_t(p1), uint32_t(p0 >> 32) ^ c[3] ^ k1, uint32_t(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

uint32_t Rng::next_u32() {
  auto block = philox(seed_, stream_, position_ / 4);
  return block[position_++ % 4];
}

uint64_t Rng::next_u64() {
  uint64_t high = next_u32();
  return high << 32 | next_u32();
}

double Rng::uniform() { return double(next_u64() >> 11) * 0x1p-53; }

double Rng::normal() {
  double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * M_PI * uniform());
}

uint64_t Rng::below(uint64_t n) {
  // Rejection of the top part that would not divide evenly.
  uint64_t limit = UINT64_MAX - UINT64_MAX % n;
  for (;;) {
    uint64_t value = next_u64();
    if (value < limit) return value % n;
  }
}

int64_t Rng::between(int64_t low, int64_t high) { return low + int64_t(below(uint64_t(high - low) + 1)); }

}  // namespace tenth
