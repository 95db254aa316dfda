// What a run's metrics say about learning: a figure against the tokens, FLOPs and seconds that it took to get there.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "train/metrics.h"

namespace tenth {

// Points of one figure in the order of steps; y is finite. What each point cost counts from the beginning of its stage:
// tokens, FLOPs (reference training.md, section 5), and seconds of steps, without evaluations and pauses.
struct LearningCurve {
  std::vector<double> y, tokens, flops, seconds;
  bool empty() const { return y.empty(); }
};

// The figure `name` ("loss", "val_bpb") of a supervised stage. Where a step stands twice, because a run was cut and
// went on from a state before it, the later one counts.
LearningCurve learning_curve(const std::vector<MetricRecord>& records, const std::string& stage,
                             const std::string& name);

// The first supervised stage that has losses: "train", else "sft"; nothing where neither has.
std::optional<std::string> supervised_stage(const std::vector<MetricRecord>& records);

// Each point the mean of a window of a twentieth of all points, placed at its mean cost, so that a falling curve does
// not lag. The last one is the mean of the last 5 % of the steps.
LearningCurve smoothed(const LearningCurve& curve);

// The cost at which the curve first is at y or below, linear between points; nothing where it never is. cost: one of
// the curve's own three.
std::optional<double> cost_to_reach(const LearningCurve& curve, const std::vector<double>& cost, double y);

// Mean of the last 5 % of the points; NaN for an empty curve.
double final_value(const LearningCurve& curve);

}  // namespace tenth
