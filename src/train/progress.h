// One line of progress a stage: rewritten in place on a terminal, else a new line every few seconds and at the end.
//   rl        [=========>          ]  23/50  reward 0.612  acc 58.2%  11.2k tok/s  21% of peak  0:41  left 0:48
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace tenth {

// What the line shows; what is not given is left out.
struct ProgressState {
  std::string stage;
  int64_t step = 0, total = 0;                   // total 0: unknown
  std::optional<double> loss = {}, reward = {};  // one of them
  std::optional<double> accuracy = {};           // 0..1, held out
  std::optional<double> tokens_per_second = {};
  std::optional<double> peak_share = {};  // 0..1 of the machine's FLOP/s
  double elapsed = 0;                     // seconds
  std::optional<double> left = {};        // seconds
};

// The line, at most `columns` wide (from 40 on). Where it would not fit, the bar shrinks, then share of peak, accuracy
// and tokens per second go, in this order.
std::string format_progress(const ProgressState& state, int columns = 100);

// Mean with weights that fall by 1/e over `horizon` seconds: amounts (steps, tokens, FLOPs) a second.
class RateAverage {
 public:
  explicit RateAverage(double horizon = 10) : horizon_(horizon) {}
  void add(double amount, double seconds);
  std::optional<double> per_second() const;  // nothing before the first positive time

 private:
  double horizon_, amount_ = 0, seconds_ = 0;
};

// One finished step, as the training loop knows it.
struct ProgressStep {
  int64_t step = 0;  // steps done so far
  std::optional<double> loss = {}, reward = {}, accuracy = {};
  double tokens = 0, flops = 0;  // of this step
};

class ProgressLine {
 public:
  // peak_flops: what the machine can do a second; 0: unknown, no share is shown. first_step: where a resumed stage is.
  ProgressLine(std::string stage, int64_t total, double peak_flops = 0, int64_t first_step = 0,
               std::FILE* out = stderr);
  ~ProgressLine();  // leaves the cursor on a new line
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void update(const ProgressStep& step);
  void note(const std::string& text);  // a line that stays, above the progress line
  void finish();                       // prints the last state with the means of the whole stage, and a new line

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  ProgressState state_;
  double peak_flops_;
  double all_tokens_ = 0, all_flops_ = 0;
  std::FILE* out_;
  bool terminal_, drawn_ = false, finished_ = false;
  RateAverage steps_, tokens_, flops_;
  Clock::time_point began_, updated_, drawn_at_;
};

}  // namespace tenth
