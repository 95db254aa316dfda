#include "train/step_plan.h"

#include <algorithm>
#include <cmath>

namespace tenth {
namespace {

bool before(const StageSettings& s, int64_t step, double share) { return double(step) < share * double(s.steps); }

}  // namespace

double mtp_weight_at(const StageSettings& s, int64_t step) {
  return before(s, step, s.mtp_switch) ? s.mtp_weight : s.mtp_weight_final;
}

double bias_update_rate_at(const StageSettings& s, int64_t step) {
  return before(s, step, s.bias_update_until) ? s.bias_update_rate : 0;
}

int64_t batches_at(const StageSettings& s, int64_t step) {
  if (step >= s.batch_ramp_steps) return s.accumulate;
  const double share = s.batch_ramp_from + (1 - s.batch_ramp_from) * double(step) / double(s.batch_ramp_steps);
  return std::max<int64_t>(1, std::llround(share * double(s.accumulate)));
}

int64_t batches_before(const StageSettings& s, int64_t step) {
  const int64_t ramp = std::min(step, s.batch_ramp_steps);
  int64_t count = (step - ramp) * s.accumulate;
  for (int64_t earlier = 0; earlier < ramp; earlier++) count += batches_at(s, earlier);
  return count;
}

int64_t context_at(const StageSettings& s, int64_t step) {
  if (step >= s.context_warmup_steps) return 0;
  const double share = double(step) / double(s.context_warmup_steps);
  return s.context_warmup_from + std::llround(share * double(s.context - s.context_warmup_from));
}

}  // namespace tenth
