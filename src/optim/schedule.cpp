#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tenth {
namespace {

double half_cosine(double u) { return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * u))); }

// Where step stands in [begin, end): 0 at begin, 1 at end.
double progress(int64_t step, int64_t begin, int64_t end) {
  return double(step - begin) / double(std::max<int64_t>(1, end - begin));
}

double wsd(const Schedule& s, int64_t step) {
  const int64_t begin = std::max(s.warmup, s.total - int64_t(std::llround(s.decay_share * double(s.total))));
  if (step < begin) return 1;
  if (step >= s.total) return 0;
  const double u = progress(step, begin, s.total);
  switch (s.decay) {
    case Schedule::Decay::kLinear: return 1 - u;
    case Schedule::Decay::kCosine: return half_cosine(u);
    case Schedule::Decay::kOneMinusSqrt: return 1 - std::sqrt(u);
  }
  return 0;
}

// The curve between 0 and 1.
double curve(const Schedule& s, int64_t step) {
  if (step < s.warmup) return progress(step, 0, s.warmup);
  switch (s.kind) {
    case Schedule::Kind::kConstant: return 1;
    case Schedule::Kind::kLinear: return std::max(0.0, 1 - progress(step, s.warmup, s.total));
    case Schedule::Kind::kCosine: return half_cosine(progress(step, s.warmup, s.total));
    case Schedule::Kind::kWsd: return wsd(s, step);
  }
  return 0;
}

}  // namespace

double learning_rate_factor(const Schedule& schedule, int64_t step) {
  return schedule.min_share + (1 - schedule.min_share) * curve(schedule, step);
}

}  // namespace tenth
