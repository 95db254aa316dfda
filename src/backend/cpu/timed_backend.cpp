#include "backend/cpu/timed_backend.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

namespace tenth {

std::string profile_table(const TimedBackend& backend, double seconds, int steps) {
  std::vector<std::pair<std::string, TimedBackend::Entry>> entries(backend.entries().begin(), backend.entries().end());
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  std::string out = fmt::format("{:<24} {:>7} {:>9} {:>9} {:>9}\n", "operation", "share", "calls", "ms", "GFLOP/s");
  double inside = 0;
  for (const auto& [name, entry] : entries) {
    inside += entry.seconds;
    out += fmt::format("{:<24} {:>5.1f} % {:>9} {:>9.2f} {:>9}\n", name, 100 * entry.seconds / seconds,
                       entry.calls / steps, 1e3 * entry.seconds / steps,
                       entry.operations > 0 ? fmt::format("{:.0f}", entry.operations / entry.seconds / 1e9) : "");
  }
  out += fmt::format("{:<24} {:>5.1f} % {:>9} {:>9.2f}\n", "outside of operations", 100 * (1 - inside / seconds), "",
                     1e3 * (seconds - inside) / steps);
  return out;
}

}  // namespace tenth
