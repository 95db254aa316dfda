// Softmax in its three uses (log-probabilities, their gradient, router scores), compiled once for each instruction set:
// include only from isa/*.cpp (through row_kernels.h).
#pragma once
#include "backend/cpu/lanes.h"
#include "backend/cpu/row_table.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr int64_t kLogitBlock = 4096;  // of a row at a time: it stays in the first cache for its second pass

// Of z_v = logits_v - top:  sum = sum e^z,  weighted = sum e^z z, each scaled to the running maximum `top`.
struct LogSum {
  float top = -__builtin_inff();
  double sum = 0, weighted = 0;
};

void add_block(LogSum& s, const float* x, int64_t n, bool entropy) {
  const float now = max_over(x, n);
  if (now > s.top) {
    const double change = double(s.top) - double(now), shrink = s.sum == 0 ? 0 : __builtin_exp(change);
    s.weighted = s.sum == 0 ? 0 : shrink * (s.weighted + change * s.sum);
    s.sum *= shrink;
    s.top = now;
  }
  const float top = s.top == -__builtin_inff() ? 0 : s.top;  // all of them are masked so far
  Vec total = zero(), weighted = zero();
  walk(n, [&](int64_t j, auto... count) {
    Vec z = load(x + j, count...) - top;
    if constexpr (sizeof...(count) > 0) z = keep_first(z, count..., broadcast(-__builtin_inff()));
    const Vec p = exp(z);
    total = total + p;
    if (entropy) weighted = weighted + p * max(broadcast(-1e30f), z);  // 0 times -infinity would be NaN
  });
  s.sum += double(fold_sum(total));
  if (entropy) s.weighted += double(fold_sum(weighted));
}

// lse = top + ln sum;  entropy = -sum p ln p = ln sum - weighted / sum
void logprobs(const LogprobTask& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float* x = t.logits + n * t.logits_row;
    LogSum s;
    for (int64_t j = 0; j < t.width; j += kLogitBlock)
      add_block(s, x + j, t.width - j < kLogitBlock ? t.width - j : kLogitBlock, t.entropy != nullptr);
    const double log_sum = __builtin_log(s.sum), lse = double(s.top) + log_sum;
    t.lse[n] = float(lse);
    t.logprobs[n] = t.targets[n] < 0 ? 0 : float(double(x[t.targets[n]]) - lse);
    if (t.entropy) t.entropy[n] = float(log_sum - s.weighted / s.sum);
  }
}

// dlogits_v = dlogprob (1[v = target] - p_v) + dlse p_v with p_v = e^{logits_v - lse}; a row without a target gets
// zeros
void logprobs_grad(const LogprobGradTask& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    float* x = t.logits + n * t.logits_row;
    const int32_t target = t.targets[n];
    if (target < 0) {
      walk(t.width, [&](int64_t j, auto... count) { store(x + j, zero(), count...); });
      continue;
    }
    const float lse = t.lse[n], g = t.dlogprobs[n], c = t.dlse ? t.dlse[n] - g : -g;
    const int64_t at = target - t.first;
    const bool here = at >= 0 && at < t.width;
    const float p = here ? exp(broadcast(x[at] - lse))[0] : 0;
    walk(t.width, [&](int64_t j, auto... count) { store(x + j, exp(load(x + j, count...) - lse) * c, count...); });
    if (here) x[at] = g * (1 - p) + (t.dlse ? t.dlse[n] * p : 0);
  }
}

void scores(const ScoreTask& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const float* x = t.logits + n * t.logits_row;
    float* y = t.scores + n * t.scores_row;
    if (!t.softmax) {
      walk(t.width,
           [&](int64_t j, auto... count) { store(y + j, 1.0f / (1.0f + exp(-load(x + j, count...))), count...); });
      continue;
    }
    const float top = max_over(x, t.width);
    const float total = sum_over(t.width, [&](int64_t j, auto... count) {
      Vec p = exp(load(x + j, count...) - top);
      if constexpr (sizeof...(count) > 0) p = keep_first(p, count..., zero());
      store(y + j, p, count...);
      return p;
    });
    walk(t.width, [&](int64_t j, auto... count) { store(y + j, load(y + j, count...) / total, count...); });
  }
}

float balance(const float* s, const float* f, int64_t n) {
  const float weighted =
      sum_over(n, [&](int64_t j, auto... count) { return load(s + j, count...) * load(f + j, count...); });
  return weighted / sum_over(n, [&](int64_t j, auto... count) { return load(s + j, count...); });
}

// ds_i = factor (f_i - sum_j f_j s'_j) / sum_j s_j with s' = s / sum s;  sigmoid: dz_i = ds_i s_i (1 - s_i);
// softmax: dz_i = s_i (ds_i - sum_j ds_j s_j), where that sum is 0.
void balance_grad(float* dz, const float* s, const float* f, float factor, bool softmax, int64_t n) {
  const float mean = balance(s, f, n);
  factor /= sum_over(n, [&](int64_t j, auto... count) { return load(s + j, count...); });
  walk(n, [&](int64_t j, auto... count) {
    const Vec x = load(s + j, count...), g = (load(f + j, count...) - mean) * factor * x;
    store(dz + j, softmax ? g : g * (1.0f - x), count...);
  });
}

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
