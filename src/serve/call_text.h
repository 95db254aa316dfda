// The text of one call of a tool, as a model writes it between the marks of its family (chat/tool_format.h).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/tool_format.h"

namespace tenth {

// What models put around marks, names and JSON.
inline constexpr std::string_view kSpace = " \n\r\t";
std::string_view trimmed(std::string_view text);

struct WrittenCall {
  std::string name, arguments;  // JSON, an object
};

// Reads it while it comes. Values may hold any text, the mark that ends the call too: that counts only outside of them.
class CallText {
 public:
  explicit CallText(ToolFormat format) : format_(format) {}

  // Where the mark that ends the call stands in text, all that came behind the mark that began it; npos: not there yet.
  // Each character is looked at once.
  size_t find_end(std::string_view text);
  // What cannot be read any more: a string of JSON with a line end in it.
  bool broken() const { return state_ == State::kBroken; }
  // The call that text is, up to its end; nothing where it cannot be read. As far as find_end has looked.
  std::optional<WrittenCall> read(std::string_view text) const;

 private:
  enum class State { kOutside, kTag, kText, kJson, kString, kEscape, kBroken };
  struct Parameter {
    size_t tag, value, end;  // where they begin, and where the value ends
    bool text;               // as it is, not JSON
  };
  // Moves on over one character of `text`; false: more must come before it can be told.
  bool step(std::string_view text);
  bool at_mark(std::string_view text, std::string_view mark, bool& unknown) const;
  std::optional<WrittenCall> read_dsml(std::string_view text) const;

  ToolFormat format_;
  State state_ = State::kOutside;
  size_t at_ = 0, end_ = std::string_view::npos;
  bool quoted_ = false;                // within a tag
  std::vector<Parameter> parameters_;  // of DSML; the last may be open
};

}  // namespace tenth
