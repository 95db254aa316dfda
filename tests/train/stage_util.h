// What tests of a stage share: batches of random tokens, and a run in a folder that goes away.
#pragma once
#include "base/rng.h"
#include "tiny_run.h"
#include "train/stage.h"

namespace tenth::testing {

// Random sequences of 12 tokens. unscored: tokens at the beginning of each that are not learnt.
inline Examples some_examples(int sequences, uint64_t seed, size_t unscored = 0) {
  Rng rng(seed);
  Examples examples;
  for (int i = 0; i < sequences; i++) {
    std::vector<int32_t> ids(12);
    for (int32_t& id : ids) id = int32_t(rng.below(120));
    examples.add(ids, unscored);
  }
  return examples;
}

inline StageSettings settings_for(const std::vector<std::string>& overrides) {
  return stage_settings(tiny_recipe(overrides), "train");
}

struct StageRun {
  TempFolder folder;
  MetricsWriter metrics{folder.path()};
  RunContext context{.run_dir = folder.path(), .metrics = metrics, .resume = {}};
  double last(const std::string& name) const { return metrics.last("train", name).value(); }
};

}  // namespace tenth::testing
