// Reads a task's options: each with its range, and at the end whatever nobody asked for is refused by name.
#pragma once
#include <string>
#include <vector>

#include "problems/problem.h"

namespace tenth {

class OptionReader {
 public:
  OptionReader(std::string task, const TaskOptions& options) : task_(std::move(task)), options_(options) {}

  // The option, or fallback where it is not given. Throw kInput outside low … high (and where it is not whole).
  double real(const std::string& name, double fallback, double low, double high);
  int integer(const std::string& name, int fallback, int low, int high);
  double share(const std::string& name, double fallback) { return real(name, fallback, 0, 1); }

  // Throws kInput if an option was given that was never asked for.
  void finish() const;

 private:
  std::string task_;
  const TaskOptions& options_;
  std::vector<std::string> known_;
};

}  // namespace tenth
