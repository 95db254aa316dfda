// Text that remembers who wrote each part of it. A prompt mixes the words of a format with those of people and models;
// only the former may become control tokens, so the marks must outlive every operation on the text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

enum class Origin : uint8_t {
  kFrame,  // the format itself: a template's own text
  kModel,  // what the assistant wrote
  kUser,   // anything else from outside: users, systems, tools and their results
};

// Well formed UTF-8 with an origin for every byte.
class MarkedText {
 public:
  struct Run {
    size_t end;  // behind its last byte; it begins where the run before ends
    Origin origin;
  };

  MarkedText() = default;
  explicit MarkedText(std::string text, Origin origin = Origin::kFrame);

  const std::string& text() const { return text_; }
  const std::vector<Run>& runs() const { return runs_; }  // neighbours differ, none is empty
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }
  Origin strictest() const;  // the highest origin of any byte; kFrame where there is none

  void append(std::string_view text, Origin origin);
  void append(const MarkedText& other) { append_part(other, 0, other.size()); }
  void append_part(const MarkedText& other, size_t begin, size_t end);
  MarkedText part(size_t begin, size_t end) const;

 private:
  std::string text_;
  std::vector<Run> runs_;
};

}  // namespace tenth
