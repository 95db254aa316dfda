#include "base/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace tenth {
namespace {

// The pages that lie wholly (inside) or partly within a part. That the system may refuse either advice changes nothing.
void advise(std::span<const std::byte> part, int advice, bool inside) {
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), begin = reinterpret_cast<uintptr_t>(part.data()),
                  end = begin + part.size();
  const uintptr_t first = (inside ? begin + page - 1 : begin) / page * page,
                  last = (inside ? end : end + page - 1) / page * page;
  if (!part.empty() && last > first) madvise(reinterpret_cast<void*>(first), last - first, advice);
}

}  // namespace

void want_pages(std::span<const std::byte> part) { advise(part, MADV_WILLNEED, false); }
void give_back_pages(std::span<const std::byte> part) { advise(part, MADV_DONTNEED, true); }

}  // namespace tenth
