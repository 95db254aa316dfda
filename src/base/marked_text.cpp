#include "base/marked_text.h"

#include <algorithm>

namespace tenth {

MarkedText::MarkedText(std::string text, Origin origin) : text_(std::move(text)) {
  if (!text_.empty()) runs_.push_back({text_.size(), origin});
}

Origin MarkedText::strictest() const {
  Origin most = Origin::kFrame;
  for (const Run& run : runs_) most = std::max(most, run.origin);
  return most;
}

void MarkedText::append(std::string_view text, Origin origin) {
  if (text.empty()) return;
  text_ += text;
  if (!runs_.empty() && runs_.back().origin == origin)
    runs_.back().end = text_.size();
  else
    runs_.push_back({text_.size(), origin});
}

void MarkedText::append_part(const MarkedText& other, size_t begin, size_t end) {
  const auto behind = [](size_t at, const Run& run) { return at < run.end; };
  auto run = std::upper_bound(other.runs_.begin(), other.runs_.end(), begin, behind);
  while (begin < end) {
    const size_t until = std::min(end, run->end);
    append(std::string_view(other.text_).substr(begin, until - begin), run->origin);
    begin = until;
    ++run;
  }
}

MarkedText MarkedText::part(size_t begin, size_t end) const {
  MarkedText out;
  out.append_part(*this, begin, end);
  return out;
}

}  // namespace tenth
