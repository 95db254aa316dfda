// Threads and vector units. The instruction set is chosen at start-up among those the machine has (AVX2, AVX-512, AMX);
// the environment variable TENTH_CPU = generic | avx2 | avx512 | avx512bf16 | amx forces one.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tenth {

std::unique_ptr<Backend> make_cpu_backend();

}  // namespace tenth
