// Guesses for the tokens that come next, for speculation: whatever they are, what is generated stays the same.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenth {

// Prompt lookup (A. Saxena, "Prompt Lookup Decoding", 2023): what stood behind the last ids the last time that they
// stood in prompt + output. Of the last 4 ids, else 3, else 2, the latest earlier place counts; where that is so near
// that its text runs into the end, the guess repeats it. drafts: at most `most` ids, none where no place is found. Time
// is linear in the text.
void lookup_drafts(std::span<const int32_t> prompt, std::span<const int32_t> output, int64_t most,
                   std::vector<int32_t>& drafts);

inline constexpr int32_t kMostDrafts = 64;  // of a sequence in one step

// The guesses of one sequence, and the trust in them: how many of its latest ones were right. Guesses are judged
// whether they were fed or not, so that it costs no step to find out that a text began to repeat, or ceased to.
class Guesses {
 public:
  // Guesses anew what follows text.
  void look(std::span<const int32_t> text, int64_t most);
  // Takes one guess of somebody else's.
  void take(int32_t id);
  void clear();
  // What followed in truth, a token a call.
  void came(int32_t id);

  std::span<const int32_t> ids() const { return ids_; }
  // How likely the first `count` are all right.
  double chance(int64_t count) const;

 private:
  std::vector<int32_t> ids_;
  size_t judged_ = 0;   // of them; all, from the first wrong one on
  double trust_ = 0.5;  // that the next one is right: a running mean over about the last 8
};

}  // namespace tenth
