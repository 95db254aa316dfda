#include "engine/disk_prefixes.h"

#include "base/clock.h"

namespace tenth {
namespace {

// A sequence gives up a disk that has cost it so much more than computing would have.
constexpr double kMostLostSeconds = 1;

}  // namespace

DiskPrefixes::DiskPrefixes(Transformer& model, const KvCache& cache, const DiskPrefixOptions& options, bool with_next)
    : DiskPrefixes(fingerprint_of(model), cache, options, with_next) {}

DiskPrefixes::DiskPrefixes(const ModelFingerprint& model, const KvCache& cache, const DiskPrefixOptions& options,
                           bool with_next)
    : cache_(cache),
      with_next_(with_next),
      blocks_(options.folder, options.bytes, model.hash, block_bytes()),
      block_seconds_(model.token_seconds * double(kCacheBlock)) {}

template <class Visit>
void DiskPrefixes::for_parts(int32_t block, const Visit& visit) const {
  for (const LayerCache& layer : cache_.layers)
    for (const Tensor& part : layer.parts())
      if (part) visit(part[block]);
}

int64_t DiskPrefixes::block_bytes() const {
  int64_t bytes = 0;
  for_parts(0, [&](const Tensor& part) { bytes += int64_t(part.bytes()); });
  return bytes;
}

Hash128 DiskPrefixes::next_key(const Chain& chain, std::span<const int32_t> ids) const {
  return DiskBlocks::key(chain.key, ids_upto(ids, chain.blocks + 1).subspan(size_t(chain.blocks * kCacheBlock)));
}

// The last token is computed in any case: its logits are wanted.
bool DiskPrefixes::next_is_wanted(const Chain& chain, std::span<const int32_t> ids) const {
  return (chain.blocks + 1) * kCacheBlock < int64_t(ids.size()) &&
         blocks_.state(next_key(chain, ids)) == DiskBlocks::State::kOnDisk;
}

DiskPrefixes::Chain DiskPrefixes::begin(std::span<const int32_t> ids, std::span<const int32_t> blocks, bool whole) {
  Chain chain;
  chain.key = blocks_.root();
  chain.began = DiskBlocks::now_stamp();
  for (int32_t block : blocks) keep(chain, ids, block);
  chain.restoring = !whole && next_is_wanted(chain, ids);
  return chain;
}

bool DiskPrefixes::restore(Chain& chain, std::span<const int32_t> ids, int32_t block) {
  const double begin = monotonic_seconds();
  std::span<const std::byte> bytes = blocks_.read(next_key(chain, ids), ids_upto(ids, chain.blocks + 1));
  const bool found = !bytes.empty();
  if (found)
    for_parts(block, [&](const Tensor& part) {
      part.device().copy_from_host(part.raw(), bytes.data(), part.bytes());
      bytes = bytes.subspan(part.bytes());
    });
  chain.restoring = found;
  chain.lost += monotonic_seconds() - begin - (found ? block_seconds_ : 0);
  return found;
}

void DiskPrefixes::keep(Chain& chain, std::span<const int32_t> ids, int32_t block) {
  chain.key = next_key(chain, ids);
  const int64_t stamp = chain.began - chain.blocks++;
  if (blocks_.state(chain.key) != DiskBlocks::State::kAbsent) {
    blocks_.use(chain.key, stamp);
  } else if (chain.writing) {
    chain.writing = blocks_.write(chain.key, ids_upto(ids, chain.blocks), stamp, [&](std::span<std::byte> bytes) {
      for_parts(block, [&](const Tensor& part) {
        part.device().copy_to_host(bytes.data(), part.raw(), part.bytes());
        bytes = bytes.subspan(part.bytes());
      });
    });
  }
  if (chain.restoring) chain.restoring = chain.lost < kMostLostSeconds && next_is_wanted(chain, ids);
}

void DiskPrefixes::computed(int64_t tokens, double seconds) {
  if (tokens >= kCacheBlock) block_seconds_ = seconds * double(kCacheBlock) / double(tokens);
}

}  // namespace tenth
