// What this machine is called, for reports.
#pragma once
#include <string>

namespace tenth {

std::string machine_name();  // "AMD EPYC (avx512bf16)"

}  // namespace tenth
