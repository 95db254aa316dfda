#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace tenth {
namespace {

constexpr int kMostThreads = 1024;

int default_count() {
  if (const char* text = std::getenv("TENTH_THREADS")) {
    const int count = std::atoi(text);
    if (count > 0) return std::min(count, kMostThreads);
  }
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return 1;
}

std::atomic<int> count_ = 0;
thread_local bool in_part = false;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// One job at a time. ticket_ holds the job's number in its upper half and the next unclaimed part in its lower one. A
// claim is a compare-and-swap on it. What a thread reads of the job before that (parts, call, context) may already be
// the next job's, so the ticket is closed, under a number of its own and with no part to claim, before they are
// written: whoever saw something new then fails to claim with an old ticket. (Job numbers are even, those of closed
// tickets odd.)
class Pool {
 public:
  static Pool& instance() {
    static Pool pool;
    return pool;
  }

  ~Pool() {
    stopping_ = true;
    ticket_ += kJob;
    ticket_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void run(int64_t parts, void (*call)(const void*, int64_t), const void* context) {
    const auto run_here = [&] {
      for (int64_t part = 0; part < parts; part++) call(context, part);
    };
    if (in_part || parts >= int64_t(kPart) - 1) return run_here();
    const std::unique_lock busy(mutex_, std::try_to_lock);
    if (!busy.owns_lock()) return run_here();
    grow(thread_count() - 1);
    const uint64_t closed = (ticket_.load(std::memory_order_relaxed) & ~(kPart - 1)) + kJob, job = closed + kJob;
    ticket_.store(closed | (kPart - 1), std::memory_order_relaxed);
    call_.store(call, std::memory_order_release);
    context_.store(context, std::memory_order_release);
    parts_.store(parts, std::memory_order_release);
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(job, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) ticket_.notify_all();
    work(job);
    for (int spins = 0; done_.load(std::memory_order_acquire) != parts; spins++) {
      if (spins < 2000)
        pause();
      else
        std::this_thread::yield();
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  static constexpr uint64_t kJob = uint64_t(1) << 32, kPart = kJob;

  void grow(int workers) {
    wanted_.store(workers, std::memory_order_relaxed);
    while (int(workers_.size()) < workers) {
      const int index = int(workers_.size());
      workers_.emplace_back([this, index] { live(index); });
    }
  }

  // Claims and runs parts of the job until none is left.
  void work(uint64_t job) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      if ((ticket & ~(kPart - 1)) != job) return;
      const int64_t part = int64_t(ticket & (kPart - 1));
      if (part >= parts_.load(std::memory_order_acquire)) return;
      const auto call = call_.load(std::memory_order_acquire);
      const void* context = context_.load(std::memory_order_acquire);
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      in_part = true;
      try {
        call(context, part);
      } catch (...) {
        const std::lock_guard lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
      in_part = false;
      done_.fetch_add(1, std::memory_order_acq_rel);
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void live(int index) {
    uint64_t seen = 0;
    while (!stopping_) {
      uint64_t ticket = ticket_.load(std::memory_order_acquire);
      // Loops of a step follow each other within microseconds: look for the next one a while before sleeping.
      for (int spins = 0; (ticket & ~(kPart - 1)) == seen && spins < 20000; spins++) {
        pause();
        ticket = ticket_.load(std::memory_order_acquire);
      }
      if ((ticket & ~(kPart - 1)) == seen) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        ticket_.wait(ticket, std::memory_order_seq_cst);
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        continue;
      }
      seen = ticket & ~(kPart - 1);
      if (index < wanted_.load(std::memory_order_relaxed)) work(seen);
    }
  }

  std::mutex mutex_, failure_mutex_;
  std::vector<std::thread> workers_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> wanted_ = 0, sleepers_ = 0;
  alignas(64) std::atomic<uint64_t> ticket_ = 0;
  std::atomic<void (*)(const void*, int64_t)> call_ = nullptr;
  std::atomic<const void*> context_ = nullptr;
  std::atomic<int64_t> parts_ = 0;
  alignas(64) std::atomic<int64_t> done_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

int thread_count() {
  int count = count_.load(std::memory_order_relaxed);
  if (count == 0) count_ = count = default_count();
  return count;
}

void set_thread_count(int count) { count_ = std::clamp(count, 1, kMostThreads); }

void threads_detail::run_parts(int64_t parts, void (*call)(const void*, int64_t), const void* context) {
  Pool::instance().run(parts, call, context);
}

}  // namespace tenth
