// What the machine could do at best.
#pragma once
#include "tensor/dtype.h"

namespace tenth {

// Billions of operations a second of multiply-adds out of registers, on all threads, in the instruction set in use: the
// bound that matrix products of this type (f32 or bf16) run against. Measured at the first call for each type (about 10
// milliseconds), then kept. A machine shared with other work gives less than its best.
double measured_peak_gflops(DType dtype);

}  // namespace tenth
