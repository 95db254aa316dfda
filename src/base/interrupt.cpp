#include "base/interrupt.h"

#include <atomic>
#include <csignal>

namespace tenth {
namespace {

// A signal may come to any thread: an atomic, and one without a lock, which a handler may touch.
std::atomic<int> wish = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  if (wish) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  wish = 1;
}

}  // namespace

void watch_interrupts() {
  wish = 0;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool interrupted() { return wish != 0; }

}  // namespace tenth
