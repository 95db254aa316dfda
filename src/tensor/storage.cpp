#include "tensor/storage.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/error.h"

namespace tenth {
namespace {

constexpr size_t kSmallest = 256;

// Sizes grow in quarters of a power of two: 256, 320, 384, 448, 512, 640, … so that at most a fifth is wasted.
struct SizeClass {
  int index;
  size_t bytes;
};

SizeClass size_class(size_t bytes) {
  if (bytes <= kSmallest) return {0, kSmallest};
  const int power = int(std::bit_width(bytes - 1)) - 1;  // 2^power < bytes <= 2^(power+1)
  const size_t quarter = size_t(1) << (power - 2);
  const size_t steps = (bytes - (size_t(1) << power) + quarter - 1) / quarter;  // 1..4
  return {(power - 8) * 4 + int(steps), (size_t(1) << power) + steps * quarter};
}

constexpr size_t kPage = size_t(2) << 20;
bool large(size_t bytes) { return bytes >= 2 * kPage; }
size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// A map that begins at a multiple of kPage; null where the system refuses.
void* map_aligned(size_t bytes) {
  void* map = ::mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return nullptr;
  const auto at = reinterpret_cast<uintptr_t>(map);
  const size_t before = (kPage - at % kPage) % kPage;
  auto* data = static_cast<std::byte*>(map) + before;
  if (before) ::munmap(map, before);
  ::munmap(data + bytes, kPage - before);
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

}  // namespace

size_t block_bytes(size_t bytes) { return size_class(bytes).bytes; }

Device::~Device() = default;

Storage* Device::acquire(size_t bytes) {
  const SizeClass size = size_class(bytes);
  require(size.index < kClasses, ErrorKind::kInternal, "a tensor of {} bytes is larger than any memory", bytes);
  std::lock_guard lock(mutex_);
  Storage* block = free_[size_t(size.index)];
  if (block) {
    free_[size_t(size.index)] = block->next_free;
  } else {
    trim(size.bytes);
    void* data = allocate_raw(size.bytes);
    block = new Storage;
    block->device = this;
    block->data = data;
    block->capacity = size.bytes;
    statistics_.system_allocations++;
  }
  block->references.store(1, std::memory_order_relaxed);
  statistics_.bytes_in_use += size.bytes;
  statistics_.peak_bytes_in_use = std::max(statistics_.peak_bytes_in_use, statistics_.bytes_in_use);
  return block;
}

// Batches of other lengths leave blocks of other sizes behind. What the pool would hold beyond a sixteenth more than
// was ever in use at a time goes back to the system, the largest blocks first; what all steps of a small model need
// stays.
void Device::trim(size_t wanted) {
  constexpr size_t kSpare = size_t(16) << 20;
  const size_t in_use = statistics_.bytes_in_use + wanted, peak = std::max(statistics_.peak_bytes_in_use, in_use);
  const size_t most = peak + std::max(peak / 16, kSpare);
  size_t held = in_use;
  for (const Storage* list : free_)
    for (const Storage* block = list; block; block = block->next_free) held += block->capacity;
  for (size_t i = free_.size(); i-- > 0 && held > most;)
    while (free_[i] && held > most) {
      Storage* block = free_[i];
      free_[i] = block->next_free;
      held -= block->capacity;
      free_raw(block->data, block->capacity);
      delete block;
    }
}

void Device::release(Storage* block) {
  std::lock_guard lock(mutex_);
  Storage*& list = free_[size_t(size_class(block->capacity).index)];
  block->next_free = list;
  list = block;
  statistics_.bytes_in_use -= block->capacity;
}

Device::PoolStatistics Device::pool_statistics() const {
  std::lock_guard lock(mutex_);
  return statistics_;
}

void Device::reset_peak() {
  std::lock_guard lock(mutex_);
  statistics_.peak_bytes_in_use = statistics_.bytes_in_use;
}

void Device::free_pool() {
  for (Storage*& list : free_) {
    while (list) {
      Storage* block = list;
      list = block->next_free;
      free_raw(block->data, block->capacity);
      delete block;
    }
  }
}

void HostDevice::copy_from_host(void* device_data, const void* host_data, size_t bytes) {
  if (bytes) std::memcpy(device_data, host_data, bytes);
}

void HostDevice::copy_to_host(void* host_data, const void* device_data, size_t bytes) {
  if (bytes) std::memcpy(host_data, device_data, bytes);
}

// Large blocks in pages of 2 MiB where the system has them: a key-value cache or a batch of activations is walked from
// end to end, and translating addresses by 4 KiB took a third of that time. They are maps of their own: within the
// heap, what is freed between blocks in use would stay with the process.
void* HostDevice::allocate_raw(size_t bytes) {
  void* data = large(bytes) ? map_aligned(whole_pages(bytes)) : std::aligned_alloc(64, bytes);
  require(data != nullptr, ErrorKind::kIo, "out of memory: the system refused {} bytes", bytes);
  return data;
}

void HostDevice::free_raw(void* data, size_t bytes) {
  if (large(bytes))
    ::munmap(data, whole_pages(bytes));
  else
    std::free(data);
}

}  // namespace tenth
