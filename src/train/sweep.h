// The settings of a sweep and the table of its results. Running the recipes is the caller's (cli/sweep.cpp).
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/recipe.h"

namespace tenth {

struct SweepRun {
  std::string name;                                           // of its folder: "lr=0.001_steps=20"
  std::vector<std::pair<std::string, std::string>> settings;  // swept keys and their values, as the recipe reads them
  Recipe recipe;
};

// The product of all values: assignments are "section.key=v1,v2,…"; one with a single value holds for every run and
// stands in no name; of a key that is a list, commas belong to the value. The last key varies fastest.
// Throws kInput for what a recipe refuses, a key or value given twice, and more than 1,000 runs.
std::vector<SweepRun> sweep_runs(const Path& recipe, const std::vector<std::string>& assignments);

struct SweepRow {
  std::vector<std::pair<std::string, std::string>> settings;
  std::string folder;
  std::string error = {};                        // empty: the run finished
  std::optional<double> final_loss = {};         // mean of the last 5 % of the steps
  std::optional<double> bits_per_byte = {};      // held out
  std::optional<double> accuracy = {};           // held out, 0..1
  std::optional<double> tokens_per_second = {};  // of the supervised stage
  std::optional<double> seconds = {};            // of the whole run
};

// What the folder of a finished run says. Throws kInput where its files are broken.
SweepRow sweep_row(const SweepRun& run, const Path& folder);

// The row that won, by what every finished row has: bits per byte, else right answers, else the final loss. Nothing
// where no run finished.
struct SweepBest {
  size_t row = 0;
  std::string figure;  // "bits per byte", "right answers", "final loss"
};
std::optional<SweepBest> best_row(const std::vector<SweepRow>& rows);

std::string sweep_text(const std::vector<SweepRow>& rows);
std::string sweep_markdown(const std::string& recipe, const std::vector<SweepRow>& rows);
std::string sweep_json(const std::string& recipe, const std::vector<SweepRow>& rows);

}  // namespace tenth
