#include "base/interrupt.h"

#include <csignal>

namespace tenth {
namespace {

volatile std::sig_atomic_t wish = 0;

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
