// Fast hashes for finding equal or damaged bytes (xxHash, XXH3); they withstand no attacker.
#pragma once
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"

namespace tenth {

struct Hash128 {
  uint64_t low = 0, high = 0;
  auto operator<=>(const Hash128&) const = default;
  std::string hex() const;  // 32 digits
};

Hash128 hash128(std::span<const std::byte> bytes);
Hash128 hash128(std::string_view text);
// The hash of a file's bytes, read in parts. Throws kIo.
Hash128 hash128_of_file(const Path& path);

}  // namespace tenth
