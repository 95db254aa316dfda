#include "base/hash.h"

#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"

namespace tenth {
namespace {

Hash128 from(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

std::string Hash128::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

Hash128 hash128(std::span<const std::byte> bytes) { return from(XXH3_128bits(bytes.data(), bytes.size())); }

Hash128 hash128(std::string_view text) { return from(XXH3_128bits(text.data(), text.size())); }

Hash128 hash128_of_file(const Path& path) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_128bits_reset(state.get());
  read_pieces(path,
              [&](std::span<const std::byte> piece) { XXH3_128bits_update(state.get(), piece.data(), piece.size()); });
  return from(XXH3_128bits_digest(state.get()));
}

}  // namespace tenth
