#include "train/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tenth {
namespace {

struct Point {
  int64_t step = 0;
  double tokens = 0, flops = 0, seconds = 0;
  std::optional<double> y;
};

std::optional<double> value_of(const MetricRecord& record, const std::string& name) {
  for (const auto& [key, value] : record.values)
    if (key == name) return value;
  return {};
}

std::vector<Point> points_of(const std::vector<MetricRecord>& records, const std::string& stage,
                             const std::string& name) {
  std::vector<Point> points;
  double before = 0;  // wall of the record before
  for (const MetricRecord& record : records) {
    const double seconds = std::max(0.0, record.wall - before);
    before = record.wall;
    if (record.stage != stage) continue;
    const std::optional<double> y = value_of(record, name), tokens = value_of(record, "tokens");
    // An evaluation is a record of its own beside its step's: it costs nothing that counts.
    if (!tokens && !points.empty() && points.back().step == record.step) {
      if (y) points.back().y = y;
      continue;
    }
    while (!points.empty() && points.back().step >= record.step) points.pop_back();
    Point point{.step = record.step, .y = y};
    if (tokens) point.tokens = *tokens, point.flops = value_of(record, "flops").value_or(0), point.seconds = seconds;
    points.push_back(point);
  }
  return points;
}

size_t window_of(size_t points) { return std::max<size_t>(1, points / 20); }

}  // namespace

LearningCurve learning_curve(const std::vector<MetricRecord>& records, const std::string& stage,
                             const std::string& name) {
  LearningCurve curve;
  double tokens = 0, flops = 0, seconds = 0;
  for (const Point& point : points_of(records, stage, name)) {
    tokens += point.tokens, flops += point.flops, seconds += point.seconds;
    if (!point.y || !std::isfinite(*point.y)) continue;
    curve.y.push_back(*point.y);
    curve.tokens.push_back(tokens);
    curve.flops.push_back(flops);
    curve.seconds.push_back(seconds);
  }
  return curve;
}

std::optional<std::string> supervised_stage(const std::vector<MetricRecord>& records) {
  for (const char* stage : {"train", "sft"})
    if (!learning_curve(records, stage, "loss").empty()) return stage;
  return {};
}

LearningCurve smoothed(const LearningCurve& curve) {
  const size_t window = window_of(curve.y.size());
  const auto means = [&](const std::vector<double>& values) {
    std::vector<double> out;
    double sum = 0;
    for (size_t i = 0; i < values.size(); i++) {
      sum += values[i];
      if (i >= window) sum -= values[i - window];
      if (i + 1 >= window) out.push_back(sum / double(window));
    }
    return out;
  };
  return {means(curve.y), means(curve.tokens), means(curve.flops), means(curve.seconds)};
}

std::optional<double> cost_to_reach(const LearningCurve& curve, const std::vector<double>& cost, double y) {
  const auto found = std::find_if(curve.y.begin(), curve.y.end(), [&](double value) { return value <= y; });
  if (found == curve.y.end()) return {};
  const size_t i = size_t(found - curve.y.begin());
  if (i == 0) return cost[0];
  const double share = (curve.y[i - 1] - y) / (curve.y[i - 1] - curve.y[i]);
  return cost[i - 1] + share * (cost[i] - cost[i - 1]);
}

double final_value(const LearningCurve& curve) {
  if (curve.empty()) return std::numeric_limits<double>::quiet_NaN();
  const size_t window = window_of(curve.y.size());
  double sum = 0;
  for (size_t i = curve.y.size() - window; i < curve.y.size(); i++) sum += curve.y[i];
  return sum / double(window);
}

}  // namespace tenth
