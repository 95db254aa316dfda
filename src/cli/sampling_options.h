// The options of commands that draw text from a model, and how they show it.
#pragma once
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>
#include <string>

#include "base/text.h"
#include "cli/speculation_options.h"

namespace tenth {

struct SamplingOptions {
  SamplingParams params;
  int32_t max_new_tokens = 128;
  int64_t seed = -1;  // -1: another one each time
  SpeculationOptions speculation;

  void add_to(CLI::App& command, double temperature) {
    params.temperature = temperature;
    command.add_option("--max-new-tokens", max_new_tokens, "Longest answer")
        ->capture_default_str()
        ->check(CLI::Range(0, 1 << 24));
    command.add_option("--temperature", params.temperature, "0: always the likeliest token")->capture_default_str();
    command.add_option("--top-k", params.top_k, "Keep the k likeliest; 0: all")->capture_default_str();
    command.add_option("--top-p", params.top_p, "Keep the likeliest up to this probability")->capture_default_str();
    command.add_option("--min-p", params.min_p, "Keep what is at least this share of the likeliest")
        ->capture_default_str();
    command.add_option("--repetition-penalty", params.repetition_penalty, "1: none")->capture_default_str();
    command.add_option("--seed", seed, "Seed of the draws; -1: another one each time")
        ->capture_default_str()
        ->check(CLI::Range(int64_t(-1), int64_t(1) << 53));
    speculation.add_to(command);
  }
  SamplingParams sampling() const {
    SamplingParams p = params;
    p.seed = seed >= 0 ? uint64_t(seed) : std::random_device{}();
    check_sampling(p);
    return p;
  }
};

// What a model says may hold sequences that command a terminal: there they are shown as text.
inline void put_text(const std::string& text) {
  const std::string shown = isatty(STDOUT_FILENO) ? printable(text) : text;
  std::fwrite(shown.data(), 1, shown.size(), stdout);
}

}  // namespace tenth
