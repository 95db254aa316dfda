// Problems that check themselves: a Task draws problems, shows how a poor teacher answers them, and grades answers.
// Text only, no tokens. Everything is a pure function of the Rng passed in, so a run replays from its seed.
//
// A prompt is the question in the caller's chat form and ends with <think>; a response is
// thinking</think><answer>X</answer>, then the caller's end token.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/rng.h"

namespace tenth {

// How an answer is compared with Problem::answer (see answer.h).
enum class Compare : uint8_t {
  kText,        // the same text
  kNumeric,     // the same number, within 1e-6; where the right answer is no number, the same text without decoration
  kDecimal,     // the same decimal number, exactly; commas between groups of three left out
  kExpression,  // an expression of Problem::numbers, each used once, with the value Problem::target; no unary minus
  kSignedExpression,  // the same, unary minus allowed
  kList,              // a list [a, 'b', …] of the same decimal numbers in the same order
  kFactors,           // the same whole numbers in any order, separated by ×
  kIgnoreCase,        // the same text but for ASCII capitals
};

struct Problem {
  std::string question = {};
  std::string answer = {};  // the right answer; one of them where there are many (expressions)
  std::string key = {};     // what makes it this problem, whatever the wording: held-out problems are told by it
  std::vector<int64_t> numbers = {};  // the numbers in it, for teachers and for expressions
  int64_t target = 0;                 // of expressions
  Compare compare = Compare::kText;
  std::string solution = {};  // a worked solution, where the source has one
};

// A document for pretraining: plain text, or a chat where question is not empty (text is then the response).
struct Document {
  std::string question;
  std::string text;
};

// total = format x accuracy: 1 for a well-formed right answer, else 0.
struct Reward {
  double total = 0;
  double format = 0;
  double accuracy = 0;  // the answer, where one is found outside the thinking, is right
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;

  // A training problem. Throws kInput where the options leave none.
  virtual Problem draw(Rng& rng) const = 0;
  // The first count problems of a fixed sequence, all different, that draw, document and demonstrations of drawn
  // problems never use; fewer where the task has fewer. A longer list begins with the shorter one.
  virtual std::vector<Problem> held_out(int count) const = 0;
  // The response of a poor teacher (often right, often without thinking, with slips).
  virtual std::string demonstration(const Problem& problem, Rng& rng) const = 0;
  virtual Document document(Rng& rng) const = 0;
  // The words that questions and responses are made of, one token each; empty where the task is free text.
  virtual std::vector<std::string> vocabulary() const = 0;
  // finished: the response ended by itself (end token seen). A truncated one has reward 0.
  virtual Reward reward(const Problem& problem, std::string_view response, bool finished = true) const;
};

using TaskOptions = std::map<std::string, double>;

// name: one of task_names(). file: the problems of "jsonl", else empty. Throws kInput on an unknown name or option
// (naming the nearest known one) and on a value out of range.
std::unique_ptr<Task> make_task(const std::string& name, const TaskOptions& options = {}, const Path& file = {});
std::vector<std::string> task_names();

// The words shared by the tasks of small numbers, so that a base trained on one can be reinforced on another: the
// characters + - * = ( ) , space > ? : ; ✗ ✓ and one word for each number 0 … 99.
std::vector<std::string> number_words();

// CRC-32 (ISO 3309, as zlib's), and the split by it: one key in eight is held out. Independent of seeds and options.
uint32_t crc32(std::string_view bytes);
bool is_held_out(std::string_view key);

}  // namespace tenth
