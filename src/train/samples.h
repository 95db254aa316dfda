// <run>/samples.jsonl: what the model wrote at each evaluation, an object a line, for those who watch a run:
//   {"stage":"rl","step":20,"prompt":"3+4=?","completion":"…","expected":"7","right":true}
// expected and right only where an answer was graded.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"

namespace tenth {

constexpr const char* kSamplesFile = "samples.jsonl";

struct RunSample {
  std::string prompt, completion;  // beyond 4000 bytes they are cut
  std::optional<std::string> expected = {};
  std::optional<bool> right = {};
};

// Adds the samples of an evaluation. Those of the same stage from this step on, and all that follow them, go first: a
// run that was resumed writes them again. Throws kIo.
void put_samples(const Path& run_dir, const std::string& stage, int64_t step, const std::vector<RunSample>& samples);

}  // namespace tenth
