#include "backend/cpu/machine.h"

#include <fmt/core.h>

#include <fstream>

#include "backend/cpu/isa.h"

namespace tenth {

std::string machine_name() {
  std::ifstream info("/proc/cpuinfo");
  std::string line, model = "unknown processor";
  while (std::getline(info, line)) {
    if (!line.starts_with("model name")) continue;
    const size_t colon = line.find(": ");
    if (colon != line.npos) model = line.substr(colon + 2);
    break;
  }
  return fmt::format("{} ({})", model, cpu::name_of(cpu::active_isa()));
}

}  // namespace tenth
