// What changes from step to step of a stage, beside the learning rate: pure functions of the step, counted from 0.
#pragma once
#include "train/stage.h"

namespace tenth {

double mtp_weight_at(const StageSettings& settings, int64_t step);
double bias_update_rate_at(const StageSettings& settings, int64_t step);
// Batches that make the step, rising linearly through the ramp (V3 report, section 4.2; the shape is not published),
// and the number that the steps before it took from the data.
int64_t batches_at(const StageSettings& settings, int64_t step);
int64_t batches_before(const StageSettings& settings, int64_t step);

// Most tokens of a sequence in the step's batches; 0: no limit, behind the warm-up. (Li et al., "The
// stability-efficiency dilemma: investigating sequence length warmup for training GPT models", NeurIPS 2022)
int64_t context_at(const StageSettings& settings, int64_t step);

}  // namespace tenth
