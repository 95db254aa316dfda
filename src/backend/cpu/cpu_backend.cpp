#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"

namespace tenth {

CpuBackend::CpuBackend() { cpu::kernels(); }

std::unique_ptr<Backend> make_cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace tenth
