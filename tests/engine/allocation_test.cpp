// Decoding asks for no memory: neither operator new nor the device's pool, once the first tokens are through.
#include <atomic>
#include <cstdlib>
#include <new>

#include "engine/engine_util.h"

namespace {
std::atomic<int64_t> allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  if (void* p = std::aligned_alloc(alignment, whole)) return p;
  throw std::bad_alloc();
}
constexpr std::size_t kUsual = alignof(std::max_align_t);
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes, kUsual); }
void* operator new[](std::size_t bytes) { return counted(bytes, kUsual); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return counted(bytes, std::size_t(alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return counted(bytes, std::size_t(alignment)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes, kUsual); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes, kUsual); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace tenth::testing {
namespace {

class Allocation : public ::testing::TestWithParam<std::string> {};

// Counts while tokens come; the difference between a generation of 64 and one of 32 is what 32 tokens cost.
TEST_P(Allocation, NoneForADecodedToken) {
  Backend& backend = get_backend("cpu");
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = tiny_model(GetParam(), backend, compute);
    for (const bool speculate : {false, true}) {
      if (speculate && !model->has_mtp()) continue;
      Generator generator(*model, {.speculate = speculate});
      const auto cost = [&](int32_t tokens) {
        GenerationRequest request;
        request.prompt = {1, 2, 3};
        request.samples = 4;
        request.max_new_tokens = tokens;
        request.sampling = {.top_k = 30, .top_p = 0.95, .min_p = 0.01, .repetition_penalty = 1.1, .seed = 1};
        const int64_t before = allocations;
        const size_t pool_before = backend.pool_statistics().system_allocations;
        generator.generate({&request, 1});
        return std::pair(allocations - before, backend.pool_statistics().system_allocations - pool_before);
      };
      cost(64), cost(32);  // warm the pool, the scratch and the threads
      const auto few = cost(32), many = cost(64);
      EXPECT_EQ(many.first, few.first) << name_of(compute) << (speculate ? ", drafts" : "");
      EXPECT_EQ(few.second, 0u);
      EXPECT_EQ(many.second, 0u);
      EXPECT_GT(few.first, 0) << "the counter does not count";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Allocation, ::testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tenth::testing
