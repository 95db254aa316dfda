#include "train/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "checkpoint/safetensors.h"

namespace tenth {
namespace {

constexpr size_t kHistory = 100, kWarmup = 50;

template <class T>
TensorToWrite to_write(const char* name, const char* dtype, const std::vector<T>& values) {
  return {.name = name, .dtype = dtype, .shape = {int64_t(values.size())}, .bytes = std::as_bytes(std::span(values))};
}

// A number and what stands behind it.
std::pair<int64_t, std::string_view> leading_number(std::string_view text, const std::string& where) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && value > 0, ErrorKind::kInput,
          "{}: expected steps, counted from 1, as in 57,120-130, got \"{}\"", where, printable(text));
  return {value, text.substr(size_t(end - text.data()))};
}

}  // namespace

NormWatch::NormWatch(double factor, std::span<const double> history) : factor_(factor) {
  for (const double norm : history.last(std::min(history.size(), kHistory))) add(norm);
}

void NormWatch::check(double norm) const {
  require(std::isfinite(norm), ErrorKind::kNumeric, "the gradient's norm is {}: expected a finite number", norm);
  if (factor_ == 0 || norms_.size() < kWarmup) return;
  std::vector<double> sorted(norms_.begin(), norms_.end());
  const auto middle = sorted.begin() + std::ptrdiff_t(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  require(norm <= factor_ * *middle, ErrorKind::kNumeric,
          "the gradient's norm is {:.4g}, {:.4g} times the median of the last {} steps (spike_factor {})", norm,
          norm / *middle, norms_.size(), factor_);
}

void NormWatch::add(double norm) {
  if (!std::isfinite(norm)) return;
  norms_.push_back(norm);
  if (norms_.size() > kHistory) norms_.pop_front();
}

SkippedSteps::SkippedSteps(std::string_view text, const std::string& where) {
  while (!text.empty()) {
    auto [first, rest] = leading_number(text, where);
    int64_t last = first;
    if (rest.starts_with('-')) std::tie(last, rest) = leading_number(rest.substr(1), where);
    require((rest.empty() || (rest[0] == ',' && rest.size() > 1)) && first <= last, ErrorKind::kInput,
            "{}: expected steps, counted from 1, as in 57,120-130, got \"{}\"", where, printable(text));
    ranges_.emplace_back(first, last);
    text = rest.empty() ? rest : rest.substr(1);
  }
}

bool SkippedSteps::contains(int64_t step) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const auto& range) { return range.first <= step && step <= range.second; });
}

Path save_bad_batch(const Path& run_dir, const std::string& stage, int64_t step, std::span<const Examples> batches) {
  Examples all;
  std::vector<int32_t> batch_sequences;
  for (const Examples& batch : batches) {
    all.ids.insert(all.ids.end(), batch.ids.begin(), batch.ids.end());
    all.lengths.insert(all.lengths.end(), batch.lengths.begin(), batch.lengths.end());
    all.scored.insert(all.scored.end(), batch.scored.begin(), batch.scored.end());
    batch_sequences.push_back(int32_t(batch.lengths.size()));
  }
  const std::vector<TensorToWrite> tensors = {to_write("ids", "I32", all.ids), to_write("lengths", "I32", all.lengths),
                                              to_write("scored", "U8", all.scored),
                                              to_write("batch_sequences", "I32", batch_sequences)};
  const Path file = run_dir / fmt::format("bad_batch_{}_{}.safetensors", stage, step);
  write_safetensors(file, tensors, {{"stage", stage}, {"step", std::to_string(step)}});
  return file;
}

Heartbeat::Heartbeat(const Path& run_dir) : file_(file(run_dir)), next_(std::chrono::steady_clock::now()) {}

void Heartbeat::beat(const std::string& stage, int64_t step) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::seconds(1);
  const double time = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const OrderedJson json = {{"stage", stage}, {"step", step}, {"time", time}, {"pid", ::getpid()}};
  try {
    write_file_unsynced(file_, json.dump() + "\n");
  } catch (const Error&) {  // the file grows old, which says it
  }
}

}  // namespace tenth
