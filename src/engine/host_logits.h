// Hidden states on their way to the head, and logits on theirs to the sampler.
#pragma once
#include <vector>

#include "backend/backend.h"

namespace tenth {

// x (N, d) -> its rows that are named, in that order.
Tensor gather_rows(const Tensor& x, const std::vector<int32_t>& rows);

// Copies logits, of any type and device, to host as f32; waits. host keeps its memory from step to step.
void read_logits(const Tensor& logits, std::vector<float>& host);

}  // namespace tenth
