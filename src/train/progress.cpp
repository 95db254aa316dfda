#include "train/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/text.h"

namespace tenth {
namespace {

constexpr int kMostColumns = 100;
constexpr double kTerminalSeconds = 0.1, kFileSeconds = 5;  // least time between two drawings

int terminal_columns(int fd) {
  winsize size{};
  const bool known = ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  // The last column stays free: some terminals wrap as soon as it is written.
  return std::min(kMostColumns, known ? size.ws_col - 1 : 79);
}

std::string bar(double share, int width) {
  const int done = std::clamp(int(share * width), 0, width);
  std::string cells = std::string(size_t(done), '=') + std::string(size_t(width - done), ' ');
  if (done < width) cells[size_t(done)] = '>';
  return "[" + cells + "]  ";
}

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string format_progress(const ProgressState& state, int columns) {
  struct Part {
    int keep;  // parts with the least go first
    std::string text;
  };
  std::vector<Part> parts;
  const std::string total = state.total > 0 ? fmt::format("{}", state.total) : "?";
  parts.push_back({9, fmt::format("{:>{}}/{}", state.step, total.size(), total)});
  if (state.reward) parts.push_back({8, fmt::format("reward {:.3f}", *state.reward)});
  if (state.loss) parts.push_back({8, fmt::format("loss {:.4g}", *state.loss)});
  if (state.accuracy) parts.push_back({2, fmt::format("acc {:.1f}%", 100 * *state.accuracy)});
  if (state.tokens_per_second) parts.push_back({3, short_number(*state.tokens_per_second) + " tok/s"});
  if (state.peak_share) parts.push_back({1, fmt::format("{:.0f}% of peak", 100 * *state.peak_share)});
  parts.push_back({4, clock_text(state.elapsed)});
  if (state.left) parts.push_back({5, "left " + clock_text(*state.left)});

  const std::string head = fmt::format("{:<8}  ", printable(state.stage));
  const auto width = [&] {
    size_t sum = head.size();
    for (const Part& part : parts) sum += part.text.size() + 2;
    return int(sum) - 2;
  };
  while (width() > columns && parts.size() > 1)
    parts.erase(std::min_element(parts.begin(), parts.end(), [](auto& a, auto& b) { return a.keep < b.keep; }));
  std::string line = head;
  const int room = std::min(columns - width() - 4, 24);
  if (room >= 6 && state.total > 0) line += bar(double(state.step) / double(state.total), room);
  for (const Part& part : parts) line += part.text + "  ";
  line.resize(std::min(line.size() - 2, size_t(columns)));
  return line;
}

void RateAverage::add(double amount, double seconds) {
  if (!(seconds >= 0) || !std::isfinite(amount)) return;
  const double keep = std::exp(-seconds / horizon_);
  amount_ = amount_ * keep + amount;
  seconds_ = seconds_ * keep + seconds;
}

std::optional<double> RateAverage::per_second() const {
  if (seconds_ <= 0) return {};
  return amount_ / seconds_;
}

ProgressLine::ProgressLine(std::string stage, int64_t total, double peak_flops, int64_t first_step, std::FILE* out)
    : peak_flops_(peak_flops),
      out_(out),
      terminal_(::isatty(::fileno(out)) == 1),
      began_(Clock::now()),
      updated_(began_),
      drawn_at_(began_) {
  state_.stage = std::move(stage);
  state_.step = first_step;
  state_.total = total;
}

ProgressLine::~ProgressLine() {
  if (terminal_ && drawn_ && !finished_) std::fputc('\n', out_);
}

void ProgressLine::update(const ProgressStep& step) {
  const Clock::time_point now = Clock::now();
  const double seconds = seconds_between(updated_, now);
  steps_.add(double(step.step - state_.step), seconds);
  tokens_.add(step.tokens, seconds);
  flops_.add(step.flops, seconds);
  all_tokens_ += step.tokens;
  all_flops_ += step.flops;
  updated_ = now;

  state_.step = step.step;
  state_.loss = step.loss;
  state_.reward = step.reward;
  if (step.accuracy) state_.accuracy = step.accuracy;  // stays on show between two evaluations
  state_.elapsed = seconds_between(began_, now);
  if (step.tokens > 0) state_.tokens_per_second = tokens_.per_second();
  if (const auto rate = flops_.per_second(); rate && *rate > 0 && peak_flops_ > 0)
    state_.peak_share = *rate / peak_flops_;
  if (const auto rate = steps_.per_second(); rate && *rate > 0 && state_.total > 0)
    state_.left = double(std::max<int64_t>(state_.total - state_.step, 0)) / *rate;
  if (!drawn_ || seconds_between(drawn_at_, now) >= (terminal_ ? kTerminalSeconds : kFileSeconds)) draw();
}

void ProgressLine::draw() {
  const std::string line = format_progress(state_, terminal_ ? terminal_columns(::fileno(out_)) : kMostColumns);
  // \x1b[K clears what an older, longer line left behind the end. A closed output is no reason to stop a training.
  std::fputs((terminal_ ? "\r" + line + "\x1b[K" : line + "\n").c_str(), out_);
  std::fflush(out_);
  drawn_ = true;
  drawn_at_ = Clock::now();
}

void ProgressLine::note(const std::string& text) {
  std::fputs(((terminal_ ? "\r\x1b[K" : "") + text + "\n").c_str(), out_);
  if (terminal_ && drawn_ && !finished_) draw();
  std::fflush(out_);
}

void ProgressLine::finish() {
  if (finished_) return;
  state_.left.reset();
  if (all_tokens_ > 0 && state_.elapsed > 0) state_.tokens_per_second = all_tokens_ / state_.elapsed;
  if (state_.peak_share) state_.peak_share = all_flops_ / state_.elapsed / peak_flops_;
  draw();
  if (terminal_) std::fputc('\n', out_);
  std::fflush(out_);
  finished_ = true;
}

}  // namespace tenth
