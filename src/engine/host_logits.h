// Logits on their way to the sampler.
#pragma once
#include <vector>

#include "backend/backend.h"

namespace tenth {

// Copies logits, of any type and device, to host as f32; waits. host keeps its memory from step to step.
void read_logits(const Tensor& logits, std::vector<float>& host);

}  // namespace tenth
