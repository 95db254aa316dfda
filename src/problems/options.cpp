#include "problems/options.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text.h"

namespace tenth {

double OptionReader::real(const std::string& name, double fallback, double low, double high) {
  known_.push_back(name);
  const auto given = options_.find(name);
  if (given == options_.end()) return fallback;
  const double value = given->second;
  require(value >= low && value <= high, ErrorKind::kInput, "[{}] option {}: expected {} to {}, got {}", task_, name,
          low, high, value);
  return value;
}

int OptionReader::integer(const std::string& name, int fallback, int low, int high) {
  const double value = real(name, fallback, low, high);
  require(value == std::floor(value), ErrorKind::kInput, "[{}] option {}: expected a whole number, got {}", task_, name,
          value);
  return int(value);
}

void OptionReader::finish() const {
  for (const auto& [name, value] : options_) {
    require(std::find(known_.begin(), known_.end(), name) != known_.end(), ErrorKind::kInput,
            "[{}] unknown option {}{}", task_, name, did_you_mean(name, known_));
  }
}

}  // namespace tenth
