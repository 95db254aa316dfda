// Where the answer stands in a completion. The prompt ends with <think>, so a good response is
//   thinking </think> <answer> X </answer>
// Everything runs in time linear in the text, whatever it holds.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace tenth {

struct Response {
  bool well_formed = false;  // each tag once and in order, only white space between and behind them
  std::string_view thinking;
  std::string_view answer;  // trimmed
};

// The strict form, for tasks whose format the model is taught: two answers, an answer inside the thinking, a second
// <think> or text behind </answer> make it ill formed. thinking is set wherever a </think> is found.
Response parse_response(std::string_view text);

// The lenient form, for models from elsewhere: the last <answer>…</answer>, else the last \boxed{…} with balanced
// braces, else what follows the last "####" up to the end of its line. The thinking is never searched: what counts
// stands behind the last </think>; with thinking set, a text without </think> has no answer.
std::optional<std::string_view> find_answer(std::string_view text, bool thinking);

// The final answer inside a reference solution: GSM8K's "#### 72", MATH's last \boxed{…}, else the whole text.
std::string_view reference_answer(std::string_view solution);

// thinking</think><answer>X</answer>, without the end token.
std::string format_response(std::string_view thinking, std::string_view answer);

}  // namespace tenth
