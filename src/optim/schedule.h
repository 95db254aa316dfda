// Learning-rate schedules: a factor on the peak rate as a pure function of the step, so that nothing is to be saved.
#pragma once
#include <cstdint>

namespace tenth {

struct Schedule {
  enum class Kind {
    kConstant,
    kLinear,  // falls from the end of the warm-up to the last step
    kCosine,  // half a cosine wave over the same stretch
    kWsd,     // warm-up, stable, decay: 1 until the last decay_share of the steps (MiniCPM, arXiv 2404.06395)
  };
  enum class Decay { kLinear, kCosine, kOneMinusSqrt };  // how wsd falls

  Kind kind = Kind::kConstant;
  int64_t total = 0;         // steps, warm-up included
  int64_t warmup = 0;        // steps of linear rise
  double min_share = 0;      // the curve runs between this share of the peak and the peak, warm-up included
  double decay_share = 0.2;  // wsd: share of total, at most what the warm-up leaves
  Decay decay = Decay::kLinear;
};

// The factor for update `step`, counted from 0. The same numbers as transformers' get_*_schedule: a warm-up of w steps
// starts at 0 / w, so that the first update has factor min_share, and update w the factor 1; past the end linear and
// wsd stay at min_share, and the cosine goes on (it rises again).
double learning_rate_factor(const Schedule& schedule, int64_t step);

}  // namespace tenth
