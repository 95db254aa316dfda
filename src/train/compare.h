// Finished or running training runs against each other: what each needed to reach the same loss.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/curves.h"
#include "train/svg_chart.h"

namespace tenth {

struct ComparedRun {
  Path folder;
  std::string seed;
  std::vector<std::pair<std::string, std::string>> settings;  // of the recipe, without run.seed
  LearningCurve loss;                                         // of its supervised stage, smoothed
  LearningCurve val_bpb;                                      // bits per byte of held-out text; may be empty
};

// Reads <folder>/recipe.toml and metrics.jsonl. Throws kIo, kInput: what is missing or broken in which file.
ComparedRun read_compared_run(const Path& folder);

// Runs whose recipes differ in nothing but run.seed, in the order in which the first of each came.
struct RunGroup {
  std::string name;  // what the names of its folders have in common
  std::vector<ComparedRun> runs;
};
std::vector<RunGroup> group_runs(std::vector<ComparedRun> runs);

// The control's cost over the other's at equal loss: above 1, the other needs less.
struct CostRatio {
  std::optional<double> ratio;  // geometric mean over all pairs of runs; nothing where a pair did not reach it
  std::optional<double> error;  // standard error; nothing with fewer than two seeds on a side
};

struct GroupComparison {
  std::string figure;  // "val_bpb" where every run of both has it, else "loss"
  double target = 0;   // mean over the pairs: the final value of the worse of the two
  CostRatio flops, tokens, seconds;
};

// Each pair (a run of the control, one of the other) is measured at the final smoothed value of the worse of the two.
// The error of the mean logarithm: that of the control's row means and that of the other's column means, added in
// squares.
GroupComparison compare_groups(const RunGroup& control, const RunGroup& other);

struct ComparisonChart {
  std::string file;
  LineChart chart;
};
// loss against tokens, FLOPs and seconds; and val_bpb where a group has it: the mean over a group's seeds.
std::vector<ComparisonChart> comparison_charts(const std::vector<RunGroup>& groups);

// The first group is the control.
std::string comparison_text(const std::vector<RunGroup>& groups);
std::string comparison_markdown(const std::vector<RunGroup>& groups, const std::vector<ComparisonChart>& charts);

}  // namespace tenth
