#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/rng.h"

namespace tenth {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Vectors of the width that every x86-64 has: a draw does not depend on the machine.
typedef float Vec __attribute__((vector_size(16)));
typedef int32_t VecI __attribute__((vector_size(16)));
constexpr size_t kWidth = 4, kLanes = 16;  // of sums and maxima: four vectors, so that additions need not wait

// x = f(x) for all, a vector at a time.
template <class F>
void transform(std::span<float> values, const F& f) {
  for (size_t i = 0; i < values.size(); i += kWidth) {
    const size_t bytes = std::min(kWidth, values.size() - i) * sizeof(float);
    Vec x{};
    if (bytes == sizeof x) {
      std::memcpy(&x, &values[i], sizeof x);
      x = f(x);
      std::memcpy(&values[i], &x, sizeof x);
    } else {
      std::memcpy(&x, &values[i], bytes);
      x = f(x);
      std::memcpy(&values[i], &x, bytes);
    }
  }
}

// The lanes' results of r = f(r, x) over their values.
template <class F>
std::array<float, kLanes> reduce(std::span<const float> values, float start, const F& f) {
  std::array<float, kLanes> lanes;
  lanes.fill(start);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] = f(lanes[lane], values[i + lane]);
  for (; i < values.size(); i++) lanes[0] = f(lanes[0], values[i]);
  return lanes;
}

float largest_of(std::span<const float> values) {
  const auto lanes = reduce(values, kForbidden, [](float best, float x) { return x > best ? x : best; });
  return *std::max_element(lanes.begin(), lanes.end());
}

double sum_of(std::span<const float> values) {
  const auto lanes = reduce(values, 0, [](float sum, float x) { return sum + x; });
  return std::accumulate(lanes.begin(), lanes.end(), 0.0);
}

// e^x for x <= 0, 0 from -104 on, to 2e-7: 2^n e^r with n = round(x / ln 2), e^r by Cephes' polynomial. 2^n is taken in
// two factors, for it alone may be below the smallest normal number.
inline Vec exp_negative(Vec x) {
  constexpr float kRound = 12582912.0f;  // 1.5 x 2^23: adding it rounds to an integer
  x = x < -104.0f ? Vec{} - 104.0f : x;
  const Vec shifted = x * 1.44269504088896341f + kRound, n = shifted - kRound;
  const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const VecI exponent = (VecI)shifted - 0x4b400000, half = exponent >> 1;
  return p * (Vec)((half + 127) << 23) * (Vec)((exponent - half + 127) << 23);
}

void softmax(std::span<float> logits) {
  const float largest = largest_of(logits);
  transform(logits, [=](Vec x) { return exp_negative(x - largest); });
  const float share = float(1 / sum_of(logits));
  transform(logits, [=](Vec x) { return x * share; });
}

// The lowest id of the largest value.
size_t argmax(std::span<const float> values) {
  const float largest = largest_of(values);
  constexpr size_t kBlock = 16 * kLanes;
  size_t begin = 0;
  for (; begin + kBlock <= values.size(); begin += kBlock) {
    bool found = false;
    for (size_t i = 0; i < kBlock; i++) found |= values[begin + i] == largest;
    if (found) break;
  }
  const auto at = std::find(values.begin() + long(begin), values.end(), largest);
  return at == values.end() ? 0 : size_t(at - values.begin());  // no number among them
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
  if (params.temperature == 0) {
    if (params.repetition_penalty != 1) penalize(logits, params.repetition_penalty, history);
    return int32_t(argmax(logits));
  }
  probabilities(logits, params, history);
  const auto bits = philox(params.seed, sample, place);
  const double target = double((uint64_t(bits[0]) << 32 | bits[1]) >> 11) * 0x1p-53;
  // The first id at which the running sum passes the target: the block that passes it, then the id inside. Where
  // rounding left the sum a hair below the target, the last id that has a share.
  constexpr size_t kBlock = 16 * kLanes;
  double sum = 0, before = 0;
  std::span<const float> rest(logits), block;
  for (; !rest.empty() && target >= sum; rest = rest.subspan(std::min(kBlock, rest.size()))) {
    const std::span<const float> next = rest.first(std::min(kBlock, rest.size()));
    const double share = sum_of(next);
    if (share == 0) continue;
    block = next;
    before = sum;
    sum += share;
  }
  const float* chosen = block.data();
  for (const float& p : block) {
    if (p == 0) continue;
    chosen = &p;
    if (target < (before += p)) break;
  }
  return int32_t(chosen - logits.data());
}

}  // namespace tenth
