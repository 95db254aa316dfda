// libFuzzer: problems as JSONL and, behind a byte 0xFF, a model's response. The file is refused, or the
// response is graded by each of its problems, with a reward between 0 and 1.
#include "fuzz.h"
#include "problems/jsonl.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static fuzz::MemoryFile file;
  const auto [text, response] = fuzz::two_parts(data, size);
  try {
    for (double exact : {0.0, 1.0}) {
      const JsonlTask task(file.path_of(text), {{"exact", exact}});
      Rng rng(1);
      for (const Problem& problem : task.problems()) {
        task.demonstration(problem, rng);
        const Reward reward = task.reward(problem, response);
        fuzz::must(reward.total >= 0 && reward.total <= 1);
      }
    }
  } catch (const Error& error) {
    fuzz::must_blame_input(error);
  }
  return 0;
}
