// Time that never jumps.
#pragma once
#include <chrono>

namespace tenth {

// Seconds since some moment before the program began.
inline double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tenth
