// tenth bench: what the machine gives, what a training step and a batch of rollouts take. Times are wall time; of
// repeated runs the best is given beside the median, as other work on the machine disturbs it least.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/model_options.h"
#include "cli/speculation_options.h"
#include "tensor/dtype.h"

namespace tenth {

struct StepBenchOptions {
  std::string recipe = "recipes/demo.toml";  // its model, its batches of text and optimizer
  std::string shape;                         // in place of a recipe: a name of bench_shapes.h
  std::string dtype = "f32";
  bool recompute = false;  // as train.recompute
  bool profile = false;    // print the time by operation, too
  int steps = 20;
};

struct RolloutBenchOptions {
  std::string recipe;  // the shape of its model; empty: dsv3a, 6 layers of width 256 with 32 experts, 8192 tokens
  std::string dtype = "f32";
  bool expanded = false;  // the cache that reinforcement samples with, in place of the latent one
  int batch = 64, prompt_tokens = 32, new_tokens = 96, runs = 3;
};

struct GenerateBenchOptions {
  ModelOptions model;
  std::vector<int> prompts = {512}, depths = {0, 2048};
  int new_tokens = 64, runs = 2;
  SpeculationOptions speculation;
};

// Bytes a second that all threads read from memory.
double read_bandwidth();

// Each gives one flat object: names with their units (_ms, _per_s, _gflops) and numbers.
OrderedJson bench_machine();
OrderedJson bench_step(const StepBenchOptions& options);
OrderedJson bench_rollouts(const RolloutBenchOptions& options);
OrderedJson bench_generate(const GenerateBenchOptions& options);

}  // namespace tenth
