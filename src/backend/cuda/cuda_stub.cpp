#include "backend/cuda/cuda.h"

namespace tenth {

std::unique_ptr<Backend> make_cuda_backend() {
  fail(ErrorKind::kUnsupported, "backend cuda: this binary was built without CUDA; use --backend cpu");
}

}  // namespace tenth
