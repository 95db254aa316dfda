#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

namespace tenth {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

std::optional<int64_t> number_in(const Path& file) {  // "max", in memory.max, is none
  std::ifstream in(file);
  int64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}

// Of a file of lines "name value", such as memory.stat; 0 where it is not there.
int64_t value_of(const Path& file, const std::string& name) {
  std::ifstream in(file);
  std::string word;
  int64_t value = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    if (words >> word >> value && word == name) return value;
  }
  return 0;
}

struct Names {
  const char *limit, *usage, *active, *inactive;
};
constexpr Names kV1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file", "total_inactive_file"};
constexpr Names kV2 = {"memory.max", "memory.current", "active_file", "inactive_file"};

// The least that a group and those around it leave. Within a container the group's own path may not be there.
int64_t left_in_groups(const Path& mount, Path group, const Names& names) {
  int64_t left = kUnlimited;
  for (;; group = group.parent_path()) {
    const Path folder = mount / group.relative_path();
    const auto limit = number_in(folder / names.limit), usage = number_in(folder / names.usage);
    if (limit && usage) {
      const Path statistics = folder / "memory.stat";
      const int64_t files = value_of(statistics, names.active) + value_of(statistics, names.inactive);
      left = std::min(left, std::max<int64_t>(0, *limit - std::max<int64_t>(0, *usage - files)));
    }
    if (group.empty() || group == group.parent_path()) return left;
  }
}

}  // namespace

int64_t available_memory(const Path& root) {
  int64_t available = kUnlimited;
  if (const int64_t kilobytes = value_of(root / "proc/meminfo", "MemAvailable:"); kilobytes > 0)
    available = kilobytes * 1024;
  // "0::/path" (v2), "9:memory:/path" (v1)
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string kinds = "," + line.substr(first + 1, second - first - 1) + ",";
    const Path path = line.substr(second + 1);
    if (kinds == ",,") available = std::min(available, left_in_groups(root / "sys/fs/cgroup", path, kV2));
    if (kinds.find(",memory,") != kinds.npos)
      available = std::min(available, left_in_groups(root / "sys/fs/cgroup/memory", path, kV1));
  }
  return available;
}

}  // namespace tenth
