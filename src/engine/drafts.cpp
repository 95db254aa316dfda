#include "engine/drafts.h"

#include <cmath>

namespace tenth {

void lookup_drafts(std::span<const int32_t> prompt, std::span<const int32_t> output, int64_t most,
                   std::vector<int32_t>& drafts) {
  constexpr int64_t kLongest = 4, kShortest = 2;
  drafts.clear();
  const int64_t before = int64_t(prompt.size()), count = before + int64_t(output.size());
  const auto at = [&](int64_t i) { return i < before ? prompt[size_t(i)] : output[size_t(i - before)]; };
  // How many ids before place i are those before the end.
  const auto matching = [&](int64_t i) {
    int64_t n = 0;
    while (n < kLongest && n < i && at(i - 1 - n) == at(count - 1 - n)) n++;
    return n;
  };
  int64_t best = kShortest - 1, found = -1;  // the place behind the match
  for (int64_t i = count - 1; i >= kShortest && best < kLongest; i--) {
    if (const int64_t n = matching(i); n > best) {
      best = n;
      found = i;
    }
  }
  if (found < 0) return;
  for (int64_t i = 0; i < most; i++)
    drafts.push_back(found + i < count ? at(found + i) : drafts[size_t(found + i - count)]);
}

void Guesses::look(std::span<const int32_t> text, int64_t most) {
  clear();
  if (most > 0) lookup_drafts(text, {}, most, ids_);
}

void Guesses::take(int32_t id) {
  clear();
  ids_.push_back(id);
}

void Guesses::clear() {
  judged_ = 0;
  ids_.clear();
}

void Guesses::came(int32_t id) {
  if (judged_ == ids_.size()) return;
  const bool right = ids_[judged_] == id;
  trust_ += (double(right) - trust_) / 8;
  judged_ = right ? judged_ + 1 : ids_.size();
}

double Guesses::chance(int64_t count) const { return std::pow(trust_, double(count)); }

}  // namespace tenth
