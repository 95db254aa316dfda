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

struct ServeBenchOptions {
  std::string url = "http://127.0.0.1:8080", model, key, plot;  // plot: an SVG file to write
  std::vector<int> clients = {1, 8, 32};                        // closed loop
  std::vector<double> rates;                                    // open loop, requests a second; in place of clients
  int requests = 2;                                             // of each client
  double seconds = 30;                                          // of each rate
  int prompt_tokens = 128, new_tokens = 64;
  int lowest_id = 1000, highest_id = 30000;  // of prompts
  uint64_t seed = 1;
};

// Bytes a second that all threads read from memory.
double read_bandwidth();

// Each gives one flat object: names with their units (_ms, _per_s, _gflops) and numbers.
OrderedJson bench_machine();
OrderedJson bench_step(const StepBenchOptions& options);
OrderedJson bench_rollouts(const RolloutBenchOptions& options);
OrderedJson bench_generate(const GenerateBenchOptions& options);
OrderedJson bench_serve(const ServeBenchOptions& options);

}  // namespace tenth
