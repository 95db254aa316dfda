#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/rng.h"

namespace tenth {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void softmax(std::span<float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float& x : logits) sum += x = std::exp(x - largest);
  for (float& x : logits) x = float(x / sum);
}

size_t argmax(std::span<const float> values) {
  return size_t(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

void check_sampling(const SamplingParams& p) {
  const auto within = [](const char* name, double value, double low, double high) {
    require(value >= low && value <= high, ErrorKind::kInput, "{}: expected {} … {}, got {}", name, low, high, value);
  };
  within("temperature", p.temperature, 0, 100);
  within("top_k", p.top_k, 0, 1 << 30);
  within("top_p", p.top_p, 0, 1);
  within("min_p", p.min_p, 0, 1);
  within("repetition_penalty", p.repetition_penalty, 0.01, 100);
}

void Sampler::penalize(std::span<float> logits, double penalty, std::span<const int32_t> history) {
  seen_.resize(logits.size());
  for (int32_t id : history) {
    if (std::exchange(seen_[size_t(id)], uint8_t(1))) continue;  // each distinct id once
    float& logit = logits[size_t(id)];
    logit = float(logit > 0 ? logit / penalty : logit * penalty);
  }
  for (int32_t id : history) seen_[size_t(id)] = 0;
}

void Sampler::probabilities(std::span<float> logits, const SamplingParams& params, std::span<const int32_t> history) {
  const size_t vocabulary = logits.size();
  if (params.repetition_penalty != 1) penalize(logits, params.repetition_penalty, history);
  if (params.temperature == 0) {
    const size_t best = argmax(logits);
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[best] = 1;
    return;
  }
  if (params.temperature != 1) {
    for (float& x : logits) x = float(x / params.temperature);
  }
  if (params.top_k > 0 && size_t(params.top_k) < vocabulary) {
    sorted_.assign(logits.begin(), logits.end());
    const auto kth = sorted_.begin() + (params.top_k - 1);
    std::nth_element(sorted_.begin(), kth, sorted_.end(), std::greater<>());
    const float least = *kth;
    for (float& x : logits) x = x < least ? kForbidden : x;
  }
  softmax(logits);
  if (params.top_p < 1) {
    order_.resize(vocabulary);
    std::iota(order_.begin(), order_.end(), 0);
    // By probability, then id. (A stable sort would take memory for each token.)
    std::sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) {
      const float pa = logits[size_t(a)], pb = logits[size_t(b)];
      return pa != pb ? pa > pb : a < b;
    });
    double sum = 0;
    for (int32_t id : order_) {
      float& p = logits[size_t(id)];
      const bool reached = sum > 0 && sum >= params.top_p;
      sum += p;
      if (reached) p = 0;
    }
    const double kept = std::accumulate(logits.begin(), logits.end(), 0.0);
    for (float& p : logits) p = float(p / kept);
  }
  if (params.min_p > 0) {
    const float least = float(params.min_p) * logits[argmax(logits)];
    double kept = 0;
    for (float& p : logits) kept += p = p < least ? 0 : p;
    for (float& p : logits) p = float(p / kept);
  }
}

int32_t Sampler::sample(std::span<float> logits, const SamplingParams& params, std::span<const int32_t> history,
                        uint64_t sample, uint64_t place) {
  probabilities(logits, params, history);
  if (params.temperature == 0) return int32_t(argmax(logits));
  const auto bits = philox(params.seed, sample, place);
  const double target = double((uint64_t(bits[0]) << 32 | bits[1]) >> 11) * 0x1p-53;
  double sum = 0;
  int32_t last = 0;
  for (size_t id = 0; id < logits.size(); id++) {
    if (logits[id] == 0) continue;
    sum += logits[id];
    last = int32_t(id);
    if (target < sum) return last;
  }
  return last;  // rounding left the sum a hair below 1
}

}  // namespace tenth
