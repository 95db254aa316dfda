// The oracle: plain loops, sums in double, no threads. Slow and obvious; it runs f64, f32 and bf16 tensors.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace tenth {

std::unique_ptr<Backend> make_reference_backend();

}  // namespace tenth
