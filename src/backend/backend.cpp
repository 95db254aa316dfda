#include "backend/backend.h"

#include "backend/cpu/cpu.h"
#include "backend/cuda/cuda.h"
#include "backend/reference/reference.h"

namespace tenth {

Backend& get_backend(const std::string& name) {
  if (name == "cpu") {
    static std::unique_ptr<Backend> backend = make_cpu_backend();
    return *backend;
  }
  if (name == "reference") {
    static std::unique_ptr<Backend> backend = make_reference_backend();
    return *backend;
  }
  if (name == "cuda") {
    static std::unique_ptr<Backend> backend = make_cuda_backend();
    return *backend;
  }
  fail(ErrorKind::kInput, "backend: expected cpu, cuda or reference, got \"{}\"", name);
}

}  // namespace tenth
