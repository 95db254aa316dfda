// The options of commands that generate with drafts: fewer steps to the same output.
#pragma once
#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

#include "engine/generator.h"

namespace tenth {

struct SpeculationOptions {
  bool module = false;
  int32_t lookup = 0;

  void add_to(CLI::App& command) {
    command.add_flag("--speculate", module, "Draft with the multi-token prediction module; the output is the same");
    command
        .add_option("--lookup", lookup,
                    "Draft so many tokens with what followed the last ones where they stood before; the output is the "
                    "same")
        ->check(CLI::Range(0, kMostDrafts));
  }
  bool on() const { return module || lookup > 0; }
  GenerationOptions generation() const { return {.slots = 1, .speculate = module, .lookup_drafts = lookup}; }
};

inline std::string acceptance_text(const GenerationStatistics& s) {
  return fmt::format("{} of {} drafts accepted ({:.0f} %), {:.2f} tokens a step", s.accepted, s.drafts,
                     100.0 * double(s.accepted) / double(std::max<int64_t>(s.drafts, 1)),
                     double(s.new_tokens) / double(std::max<int64_t>(s.steps, 1)));
}

}  // namespace tenth
