// What a model writes, told apart while it streams: thought, answer, calls of tools. Text that could still become a
// marker or a stop string is held back until it is known; whole characters only.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/call_text.h"

namespace tenth {

struct ReplyPart {
  enum class Kind { kReasoning, kContent, kToolCall };
  Kind kind;
  std::string text;  // of a call: its arguments, JSON
  std::string name;  // of a call: the function's
};

class ReplyParser {
 public:
  struct Options {
    bool in_reasoning = false;    // the prompt ended within a thought
    bool split_reasoning = true;  // false: all is content
    ToolFormat tools = ToolFormat::kNone;
    std::vector<std::string> stops = {};  // end the reply; are not part of it
  };
  explicit ReplyParser(Options options);

  // Further text of the model. After stopped() nothing more is taken.
  std::vector<ReplyPart> push(std::string_view text);
  // The rest, when the model has ended.
  std::vector<ReplyPart> finish();

  bool stopped() const { return !stop_.empty(); }
  const std::string& stop() const { return stop_; }  // the stop string that ended the reply
  bool in_reasoning() const { return state_ == State::kReasoning; }
  int calls() const { return calls_; }

 private:
  enum class State { kStart, kReasoning, kContent, kCall };

  void scan(bool final, std::vector<ReplyPart>& parts);
  // One move of the state machine. False: nothing can be told before more text comes.
  bool advance(bool final, std::vector<ReplyPart>& parts);
  bool advance_content(std::string_view rest, bool final, std::vector<ReplyPart>& parts);
  bool advance_call(std::string_view rest, bool final, std::vector<ReplyPart>& parts);
  // False where nothing is left of the text.
  bool put(ReplyPart::Kind kind, std::string_view text, std::vector<ReplyPart>& parts);

  Options options_;
  std::vector<std::string_view> marks_;
  State state_;
  std::string held_;     // may become a stop string
  std::string waiting_;  // behind that, not yet told apart
  size_t taken_ = 0;     // bytes of it, while it is scanned
  bool trim_ = false;    // white space that follows is dropped
  std::string dropped_;  // marks and white space since the last text or call: text, where no call comes of them
  CallText call_{ToolFormat::kNone};
  int broken_calls_ = 0;  // that had no end
  std::string stop_;
  int calls_ = 0;
};

}  // namespace tenth
