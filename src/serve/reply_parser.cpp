#include "serve/reply_parser.h"

#include <algorithm>
#include <utility>

namespace tenth {
namespace {

constexpr std::string_view kThink = "<think>", kEndThink = "</think>";

constexpr int kMostBrokenCalls = 64;  // then the rest is text: each costs a look at all that is left

// What the text of an answer is searched for; the first of them begins a call; all begin with <. The marks of the list
// of calls say nothing by themselves.
std::vector<std::string_view> marks_of(ToolFormat format) {
  if (format == ToolFormat::kNone) return {};
  std::vector<std::string_view> y = {tool_marks(format).begin};
  for (ToolFormat each :
       {format, is_dsml(format) ? ToolFormat::kDsmlV32 : format, is_dsml(format) ? ToolFormat::kDsmlV4 : format})
    for (std::string_view mark : {tool_marks(each).begin_list, tool_marks(each).end_list})
      if (!mark.empty()) y.push_back(mark);
  return y;
}

// Bytes at the end of text that begin the mark.
size_t partial(std::string_view text, std::string_view mark) {
  for (size_t n = std::min(text.size(), mark.size() - 1); n > 0; n--)
    if (text.ends_with(mark.substr(0, n))) return n;
  return 0;
}

}  // namespace

ReplyParser::ReplyParser(Options options) : options_(std::move(options)), marks_(marks_of(options_.tools)) {
  state_ = !options_.split_reasoning ? State::kContent : options_.in_reasoning ? State::kReasoning : State::kStart;
  trim_ = state_ == State::kReasoning;
}

std::vector<ReplyPart> ReplyParser::push(std::string_view text) {
  std::vector<ReplyPart> parts;
  if (stopped()) return parts;
  held_ += text;
  size_t cut = std::string::npos, hold = 0;
  for (const std::string& stop : options_.stops) {
    if (const size_t at = held_.find(stop); at < cut) {
      cut = at;
      stop_ = stop;
    }
    hold = std::max(hold, partial(held_, stop));
  }
  if (!stopped()) cut = held_.size() - hold;
  waiting_.append(held_, 0, cut);
  held_.erase(0, cut);
  scan(stopped(), parts);
  return parts;
}

std::vector<ReplyPart> ReplyParser::finish() {
  std::vector<ReplyPart> parts;
  if (stopped()) return parts;
  waiting_ += held_;
  held_.clear();
  scan(true, parts);
  return parts;
}

void ReplyParser::scan(bool final, std::vector<ReplyPart>& parts) {
  while (advance(final, parts)) {
  }
  waiting_.erase(0, taken_);
  taken_ = 0;
}

bool ReplyParser::advance(bool final, std::vector<ReplyPart>& parts) {
  const std::string_view rest = std::string_view(waiting_).substr(taken_);
  if (rest.empty() && !(final && state_ == State::kCall)) return false;
  switch (state_) {
    case State::kStart: {
      const std::string_view text = trimmed(rest);
      if (!final && kThink.starts_with(text) && text != kThink) return false;  // also of white space only
      state_ = State::kContent;
      if (text.starts_with(kThink)) {
        taken_ += rest.find(kThink) + kThink.size();
        state_ = State::kReasoning;
        trim_ = true;
      }
      return true;
    }
    case State::kReasoning: {
      const size_t at = rest.find(kEndThink);
      const size_t end = at != rest.npos ? at : rest.size() - (final ? 0 : partial(rest, kEndThink));
      put(ReplyPart::Kind::kReasoning, rest.substr(0, end), parts);
      taken_ += at != rest.npos ? end + kEndThink.size() : end;
      if (at == rest.npos) return false;
      state_ = State::kContent;
      trim_ = true;
      return true;
    }
    case State::kContent: return advance_content(rest, final, parts);
    case State::kCall: return advance_call(rest, final, parts);
  }
  return false;
}

bool ReplyParser::advance_content(std::string_view rest, bool final, std::vector<ReplyPart>& parts) {
  std::string_view found;
  size_t at = rest.size();  // of the mark, or of what may become one
  if (!marks_.empty())
    for (at = rest.find('<'); at < rest.size(); at = rest.find('<', at + 1)) {
      const std::string_view here = rest.substr(at);
      for (std::string_view mark : marks_)
        if (here.starts_with(mark)) found = mark;
      const bool unknown =
          !final && std::any_of(marks_.begin(), marks_.end(), [&](std::string_view m) { return m.starts_with(here); });
      if (!found.empty() || unknown) break;
    }
  at = std::min(at, rest.size());
  // White space before a mark is its own.
  size_t end = at;
  if (!marks_.empty() && (!final || !found.empty())) end = rest.substr(0, at).find_last_not_of(kSpace) + 1;
  if (put(ReplyPart::Kind::kContent, rest.substr(0, end), parts)) dropped_.clear();
  if (found.empty()) {
    taken_ += end;
    return false;
  }
  dropped_ += rest.substr(end, at + found.size() - end);
  taken_ += at + found.size();
  trim_ = true;
  if (found == marks_[0]) {
    state_ = State::kCall;
    call_ = CallText(options_.tools);
  }
  return true;
}

bool ReplyParser::advance_call(std::string_view rest, bool final, std::vector<ReplyPart>& parts) {
  const std::string_view mark = tool_marks(options_.tools).end;
  const size_t at = call_.find_end(rest);
  const bool ended = at != rest.npos;
  if (!ended && !final && !call_.broken()) return false;
  state_ = State::kContent;
  const std::string_view text = rest.substr(0, at), whole = ended ? rest.substr(0, at + mark.size()) : rest;
  if (auto call = call_.read(text)) {
    taken_ += whole.size();
    dropped_.clear();
    calls_++;
    parts.push_back({ReplyPart::Kind::kToolCall, std::move(call->arguments), std::move(call->name)});
    trim_ = true;
    return true;
  }
  // What cannot be read is text: all of it, or, where it has no end, the mark that began it and what follows.
  if (ended) {
    dropped_ += whole;
    taken_ += whole.size();
  } else if (++broken_calls_ == kMostBrokenCalls) {
    marks_.clear();
  }
  trim_ = false;
  put(ReplyPart::Kind::kContent, std::exchange(dropped_, ""), parts);
  return true;
}

bool ReplyParser::put(ReplyPart::Kind kind, std::string_view text, std::vector<ReplyPart>& parts) {
  if (trim_) text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  if (text.empty()) return false;
  trim_ = false;
  parts.push_back({kind, std::string(text), ""});
  return true;
}

}  // namespace tenth
