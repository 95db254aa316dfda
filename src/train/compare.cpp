#include "train/compare.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "train/recipe.h"
#include "train/table.h"

namespace tenth {
namespace {

using Curve = LearningCurve ComparedRun::*;
using Cost = std::vector<double> LearningCurve::*;

constexpr const char* kHeader =
    "Cost of the control over that of the other at equal loss: above 1, the other needs less. Measured for every pair "
    "of "
    "seeds at the final smoothed value (mean of the last 5 % of the points) of the worse of the two; geometric mean. "
    "± is the standard error over the seeds of both groups, added in squares; it needs two seeds on each side.";

std::string end_of(const Path& folder) {
  const Path trimmed = (folder / "").parent_path();
  return printable(trimmed.filename().string());
}

// What the folders' names begin with, without a rest like "_seed=": "books" for books-1 and books-2.
std::string common_name(const RunGroup& group) {
  const std::string first = end_of(group.runs[0].folder);
  std::string name = first;
  for (const ComparedRun& run : group.runs) {
    const std::string other = end_of(run.folder);
    const auto differ = std::mismatch(name.begin(), name.end(), other.begin(), other.end());
    name.erase(differ.first, name.end());
  }
  if (group.runs.size() == 1) return name;
  const auto trim = [&] { name.erase(name.find_last_not_of("=_-. ") + 1); };
  trim();
  if (name.ends_with("seed")) name.erase(name.size() - 4), trim();
  return name.empty() ? first : name;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum / double(values.size());
}

// Squared standard error of the mean.
double squared_error(const std::vector<double>& values) {
  const double middle = mean(values);
  double sum = 0;
  for (double value : values) sum += (value - middle) * (value - middle);
  return sum / double(values.size() - 1) / double(values.size());
}

bool all_have(const RunGroup& group, Curve curve) {
  return std::all_of(group.runs.begin(), group.runs.end(),
                     [&](const ComparedRun& run) { return (run.*curve).y.size() >= 2; });
}

double worse_end(const LearningCurve& a, const LearningCurve& b) { return std::max(a.y.back(), b.y.back()); }

CostRatio cost_ratio(const RunGroup& control, const RunGroup& other, Curve curve, Cost cost) {
  const size_t n = control.runs.size(), m = other.runs.size();
  std::vector<double> rows(n), columns(m);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < m; j++) {
      const LearningCurve &a = control.runs[i].*curve, &b = other.runs[j].*curve;
      const double target = worse_end(a, b);
      const auto x = cost_to_reach(a, a.*cost, target), y = cost_to_reach(b, b.*cost, target);
      if (!x || !y || !(*x > 0) || !(*y > 0)) return {};
      rows[i] += std::log(*x / *y) / double(m);
      columns[j] += std::log(*x / *y) / double(n);
    }
  CostRatio result{std::exp(mean(rows)), {}};
  if (n > 1 && m > 1) result.error = *result.ratio * std::sqrt(squared_error(rows) + squared_error(columns));
  return result;
}

std::string ratio_text(const CostRatio& ratio) {
  if (!ratio.ratio) return "not reached";
  return ratio.error ? fmt::format("{:.3g} ± {:.2g}", *ratio.ratio, *ratio.error) : fmt::format("{:.3g}", *ratio.ratio);
}

std::vector<Row> ratio_rows(const std::vector<RunGroup>& groups) {
  std::vector<Row> rows = {{"pair", "figure", "at", "FLOPs", "tokens", "seconds"}};
  for (size_t g = 1; g < groups.size(); g++) {
    const GroupComparison c = compare_groups(groups[0], groups[g]);
    rows.push_back({groups[0].name + " / " + groups[g].name, c.figure, fmt::format("{:.4f}", c.target),
                    ratio_text(c.flops), ratio_text(c.tokens), ratio_text(c.seconds)});
  }
  return rows;
}

std::string end_text(const RunGroup& group, Curve curve) {
  if (!all_have(group, curve)) return "-";
  std::vector<double> ends;
  for (const ComparedRun& run : group.runs) ends.push_back((run.*curve).y.back());
  if (ends.size() < 2) return fmt::format("{:.4f}", ends[0]);
  return fmt::format("{:.4f} ± {:.4f}", mean(ends), std::sqrt(squared_error(ends)));
}

std::string cost_text(const RunGroup& group, Cost cost) {
  std::vector<double> ends;
  for (const ComparedRun& run : group.runs) ends.push_back((run.loss.*cost).back());
  return short_number(mean(ends));
}

std::vector<Row> group_rows(const std::vector<RunGroup>& groups) {
  std::vector<Row> rows = {{"group", "seeds", "final loss", "val_bpb", "tokens", "FLOPs", "seconds"}};
  for (const RunGroup& group : groups)
    rows.push_back({group.name, fmt::format("{}", group.runs.size()), end_text(group, &ComparedRun::loss),
                    end_text(group, &ComparedRun::val_bpb), cost_text(group, &LearningCurve::tokens),
                    cost_text(group, &LearningCurve::flops), cost_text(group, &LearningCurve::seconds)});
  return rows;
}

std::string value_of(const RunGroup& group, const std::string& key) {
  for (const auto& [name, value] : group.runs[0].settings)
    if (name == key) return value;
  return "-";
}

// Settings in which the groups differ.
std::vector<Row> difference_rows(const std::vector<RunGroup>& groups) {
  std::vector<Row> rows = {{"setting"}};
  std::set<std::string> seen;
  for (const RunGroup& group : groups) rows[0].push_back(group.name);
  for (const RunGroup& group : groups)
    for (const auto& [key, unused] : group.runs[0].settings) {
      if (!seen.insert(key).second) continue;
      Row row = {printable(key)};
      for (const RunGroup& each : groups) row.push_back(printable(value_of(each, key)));
      if (std::adjacent_find(row.begin() + 1, row.end(), std::not_equal_to<>()) != row.end()) rows.push_back(row);
    }
  return rows;
}

double value_at(const LearningCurve& curve, const std::vector<double>& cost, double x) {
  const size_t above = size_t(std::lower_bound(cost.begin(), cost.end(), x) - cost.begin());
  if (above == 0) return curve.y.front();
  if (above == cost.size()) return curve.y.back();
  const double width = cost[above] - cost[above - 1];
  const double share = width > 0 ? (x - cost[above - 1]) / width : 1;
  return curve.y[above - 1] + share * (curve.y[above] - curve.y[above - 1]);
}

// The mean over the seeds, where all of them have a value.
ChartSeries mean_curve(const RunGroup& group, Curve curve, Cost cost) {
  constexpr int kPoints = 400;
  double low = 0, high = std::numeric_limits<double>::infinity();
  for (const ComparedRun& run : group.runs) {
    low = std::max(low, ((run.*curve).*cost).front());
    high = std::min(high, ((run.*curve).*cost).back());
  }
  ChartSeries series{group.name, {}, {}};
  for (int i = 0; i <= kPoints && low <= high; i++) {
    const double x = low + (high - low) * i / kPoints;
    std::vector<double> values;
    for (const ComparedRun& run : group.runs) values.push_back(value_at(run.*curve, (run.*curve).*cost, x));
    series.x.push_back(x);
    series.y.push_back(mean(values));
  }
  return series;
}

}  // namespace

ComparedRun read_compared_run(const Path& folder) {
  ComparedRun run;
  run.folder = folder;
  for (auto& [key, value] : Recipe::load(folder / "recipe.toml").settings()) {
    if (key == "run.seed")
      run.seed = value;
    else
      run.settings.emplace_back(key, value);
  }
  const std::vector<MetricRecord> records = read_metrics(folder).records;
  const auto stage = supervised_stage(records);
  require(stage.has_value(), ErrorKind::kInput, "{}: expected steps of train or sft with a loss, got none",
          (folder / "metrics.jsonl").string());
  run.loss = smoothed(learning_curve(records, *stage, "loss"));
  run.val_bpb = learning_curve(records, *stage, "val_bpb");
  return run;
}

std::vector<RunGroup> group_runs(std::vector<ComparedRun> runs) {
  std::vector<RunGroup> groups;
  for (ComparedRun& run : runs) {
    const auto same = std::find_if(groups.begin(), groups.end(),
                                   [&](const RunGroup& group) { return group.runs[0].settings == run.settings; });
    RunGroup& group = same == groups.end() ? groups.emplace_back() : *same;
    for (const ComparedRun& other : group.runs)
      require(other.seed != run.seed, ErrorKind::kInput,
              "{} and {}: the same recipe and run.seed {}; expected each run once", other.folder.string(),
              run.folder.string(), run.seed);
    group.runs.push_back(std::move(run));
  }
  std::set<std::string> names;
  for (RunGroup& group : groups) {
    const std::string name = common_name(group);
    group.name = name;
    for (int n = 2; !names.insert(group.name).second; n++) group.name = fmt::format("{} #{}", name, n);
  }
  return groups;
}

GroupComparison compare_groups(const RunGroup& control, const RunGroup& other) {
  const bool bits = all_have(control, &ComparedRun::val_bpb) && all_have(other, &ComparedRun::val_bpb);
  const Curve curve = bits ? &ComparedRun::val_bpb : &ComparedRun::loss;
  std::vector<double> targets;
  for (const ComparedRun& a : control.runs)
    for (const ComparedRun& b : other.runs) targets.push_back(worse_end(a.*curve, b.*curve));
  return {.figure = bits ? "val_bpb" : "loss",
          .target = mean(targets),
          .flops = cost_ratio(control, other, curve, &LearningCurve::flops),
          .tokens = cost_ratio(control, other, curve, &LearningCurve::tokens),
          .seconds = cost_ratio(control, other, curve, &LearningCurve::seconds)};
}

std::vector<ComparisonChart> comparison_charts(const std::vector<RunGroup>& groups) {
  struct Axis {
    const char* name;
    Cost cost;
  };
  struct Figure {
    const char *name, *title, *unit;
    Curve curve;
  };
  std::vector<ComparisonChart> charts;
  for (const Figure& figure : {Figure{"loss", "Training loss", "nats a token", &ComparedRun::loss},
                               Figure{"val_bpb", "Held-out text", "bits per byte", &ComparedRun::val_bpb}})
    for (const Axis& axis : {Axis{"tokens", &LearningCurve::tokens}, Axis{"FLOPs", &LearningCurve::flops},
                             Axis{"seconds", &LearningCurve::seconds}}) {
      LineChart chart{
          .title = fmt::format("{} against {}", figure.title, axis.name), .x_label = axis.name, .y_label = figure.unit};
      for (const RunGroup& group : groups)
        if (all_have(group, figure.curve)) chart.series.push_back(mean_curve(group, figure.curve, axis.cost));
      std::string file = fmt::format("{}_{}.svg", figure.name, axis.name);
      std::transform(file.begin(), file.end(), file.begin(), [](char c) { return char(std::tolower(uint8_t(c))); });
      if (!chart.series.empty()) charts.push_back({file, std::move(chart)});
    }
  return charts;
}

std::string comparison_text(const std::vector<RunGroup>& groups) {
  std::string out = text_table(group_rows(groups));
  if (groups.size() < 2) return out;
  // The header as lines of a terminal.
  std::string line;
  out += "\n";
  for (std::string_view rest = kHeader; !rest.empty();) {
    const size_t space = std::min(rest.find(' '), rest.size());
    if (columns_of(line) + space > 96) out += line + "\n", line.clear();
    line += (line.empty() ? "  " : " ") + std::string(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  return out + line + "\n\n" + text_table(ratio_rows(groups));
}

std::string comparison_markdown(const std::vector<RunGroup>& groups, const std::vector<ComparisonChart>& charts) {
  std::string out = "# Comparison\n\n" + markdown_table(group_rows(groups)) + "\n";
  if (groups.size() > 1) out += std::string(kHeader) + "\n\n" + markdown_table(ratio_rows(groups)) + "\n";
  for (const ComparisonChart& chart : charts) out += fmt::format("![{}]({})\n\n", chart.chart.title, chart.file);
  std::vector<Row> folders = {{"group", "seed", "folder"}};
  for (const RunGroup& group : groups)
    for (const ComparedRun& run : group.runs)
      folders.push_back({group.name, printable(run.seed), printable(run.folder.string())});
  out += "## Runs\n\n" + markdown_table(folders, false) + "\n";
  const std::vector<Row> differences = difference_rows(groups);
  if (differences.size() > 1) out += "## Settings that differ\n\n" + markdown_table(differences, false);
  return out;
}

}  // namespace tenth
