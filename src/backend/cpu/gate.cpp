// The router: scores, choice of experts, weights; and the sequence-wise balance loss.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {
namespace {

using namespace cpu;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// A thread's buffers for the choice of one token at a time.
struct Choice {
  std::vector<double> biased, group_scores, best;
  std::vector<int32_t> groups;
};

// The indices of the `count` largest values, ascending. Equal values: the lowest index.
void choose_largest(const double* values, int64_t n, int64_t count, std::vector<double>& best, int32_t* chosen) {
  best.resize(size_t(count));
  int64_t found = 0;
  for (int64_t i = 0; i < n; i++) {
    if (found == count && !(values[i] > best[size_t(count - 1)])) continue;
    int64_t place = found < count ? found++ : count - 1;
    for (; place > 0 && values[i] > best[size_t(place - 1)]; place--) {
      best[size_t(place)] = best[size_t(place - 1)];
      chosen[place] = chosen[place - 1];
    }
    best[size_t(place)] = values[i];
    chosen[place] = int32_t(i);
  }
  std::sort(chosen, chosen + count);
}

// kMax: the best score of the group; kTopTwoSum: the sum of its two best biased scores.
double score_of_group(const float* scores, const double* biased, int64_t size, GateArgs::GroupScore kind) {
  double first = kMinusInfinity, second = kMinusInfinity;
  for (int64_t e = 0; e < size; e++) {
    const double value = kind == GateArgs::GroupScore::kMax ? double(scores[e]) : biased[e];
    if (value > first) {
      second = first;
      first = value;
    } else if (value > second) {
      second = value;
    }
  }
  return kind == GateArgs::GroupScore::kTopTwoSum && size > 1 ? first + second : first;
}

// NaN counts as -inf, so that the choice is valid whatever the scores are.
void choose_experts(const float* scores, const float* bias, int64_t experts, const GateArgs& args, Choice& c,
                    int32_t* chosen) {
  c.biased.resize(size_t(experts));
  for (int64_t e = 0; e < experts; e++) {
    const double value = double(scores[e]) + (bias ? double(bias[e]) : 0);
    c.biased[size_t(e)] = std::isnan(value) ? kMinusInfinity : value;
  }
  if (args.groups_kept < args.groups) {
    const int64_t size = experts / args.groups;
    c.group_scores.resize(size_t(args.groups));
    c.groups.resize(size_t(args.groups_kept));
    for (int64_t g = 0; g < args.groups; g++)
      c.group_scores[size_t(g)] =
          score_of_group(scores + g * size, &c.biased[size_t(g * size)], size, args.group_score);
    choose_largest(c.group_scores.data(), args.groups, args.groups_kept, c.best, c.groups.data());
    auto kept = c.groups.begin();
    for (int64_t g = 0; g < args.groups; g++) {
      if (kept != c.groups.end() && *kept == g) {
        kept++;
      } else {
        std::fill_n(c.biased.begin() + g * size, size, kMinusInfinity);
      }
    }
  }
  choose_largest(c.biased.data(), experts, args.experts_per_token, c.best, chosen);
}

// dz of a row from ds, which may be dz.  softmax: dz_e = s_e (ds_e - sum_j ds_j s_j);  sigmoid: dz_e = ds_e s_e (1 -
// s_e)
void scores_backward(float* dz, const float* ds, const float* s, int64_t experts, GateArgs::Score score) {
  if (score == GateArgs::Score::kSigmoid) {
    for (int64_t e = 0; e < experts; e++) dz[e] = ds[e] * s[e] * (1 - s[e]);
    return;
  }
  double mean = 0;
  for (int64_t e = 0; e < experts; e++) mean += double(ds[e]) * double(s[e]);
  for (int64_t e = 0; e < experts; e++) dz[e] = s[e] * (ds[e] - float(mean));
}

}  // namespace

void CpuBackend::gate_forward(const Tensor& weights, const Tensor& experts, const Tensor& scores, const Tensor& logits,
                              const Tensor& bias, bool replay, const GateArgs& args) {
  const int64_t count = logits.dim(1), choices = args.experts_per_token;
  require(choices <= count && args.groups_kept <= args.groups, ErrorKind::kInternal,
          "[gate] {} experts a token of {}, {} groups of {}", choices, count, args.groups_kept, args.groups);
  const ScoreTask task = {.width = count,
                          .scores = data_of<float>(scores),
                          .logits = data_of<float>(logits),
                          .scores_row = scores.stride(0),
                          .logits_row = logits.stride(0),
                          .softmax = args.score == GateArgs::Score::kSoftmax};
  const float* biases = data_of<float>(bias);
  float* w = data_of<float>(weights);
  int32_t* chosen = experts.data<int32_t>();
  parallel_for(logits.dim(0), row_grain(count + 4 * choices, 8), [&](int64_t begin, int64_t end) {
    thread_local Choice buffers;
    kernels().rows->scores(task, begin, end);
    for (int64_t n = begin; n < end; n++) {
      const float* s = task.scores + n * task.scores_row;
      int32_t* row = chosen + n * choices;
      if (!replay) choose_experts(s, biases, count, args, buffers, row);
      double sum = 1e-20;
      for (int64_t k = 0; k < choices; k++) sum += double(s[row[k]]);
      const double factor = args.normalize ? args.scaling / sum : args.scaling;
      for (int64_t k = 0; k < choices; k++) w[n * choices + k] = float(double(s[row[k]]) * factor);
    }
  });
}

// Normalised, Z = sum_{chosen} s:  ds_i = scaling / Z (dw_i - sum_j dw_j s_j / Z);  else ds_i = scaling dw_i;
// 0 for experts that were not chosen. An expert that stands twice (replay) takes both.
void CpuBackend::gate_backward(const Tensor& dlogits, const Tensor& dweights, const Tensor&, const Tensor& experts,
                               const Tensor& scores, const GateArgs& args) {
  const int64_t count = scores.dim(1), choices = args.experts_per_token;
  const float *dw = data_of<float>(dweights), *s = data_of<float>(scores);
  const int32_t* chosen = experts.data<int32_t>();
  float* out = data_of<float>(dlogits);
  parallel_for(scores.dim(0), row_grain(count + 4 * choices, 4), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; n++) {
      const float *s_row = s + n * scores.stride(0), *dw_row = dw + n * choices;
      const int32_t* row = chosen + n * choices;
      float* dz = out + n * dlogits.stride(0);
      double z = 1e-20, mean = 0;
      for (int64_t k = 0; k < choices; k++) z += double(s_row[row[k]]);
      for (int64_t k = 0; k < choices; k++) mean += double(dw_row[k]) * double(s_row[row[k]]) / z;
      std::fill_n(dz, count, 0.0f);
      for (int64_t k = 0; k < choices; k++) {
        const double d = double(dw_row[k]);
        dz[row[k]] += float(args.normalize ? args.scaling / z * (d - mean) : args.scaling * d);
      }
      scores_backward(dz, dz, s_row, count, args.score);
    }
  });
}

namespace {

struct BalanceTask {
  const float* scores;
  const int32_t *experts, *segments;
  int64_t scores_row, count, choices, sequences, filled;  // filled: sequences that have tokens

  BalanceTask(const Tensor& scores_, const Tensor& experts_, const Tensor& segments_)
      : scores(scores_.data<float>()),
        experts(experts_.data<int32_t>()),
        segments(segments_.data<int32_t>()),
        scores_row(scores_.stride(0)),
        count(scores_.dim(1)),
        choices(experts_.dim(1)),
        sequences(segments_.dim(0) - 1),
        filled(0) {
    for (int64_t s = 0; s < sequences; s++) filled += segments[s] < segments[s + 1];
  }

  int64_t length(int64_t s) const { return segments[s + 1] - segments[s]; }
  int64_t grain() const {  // in sequences
    const int64_t tokens = sequences > 0 ? (segments[sequences] - segments[0]) / sequences : 0;
    return row_grain((tokens + 1) * count, 2);
  }
  // f_i = E / (K T) #{tokens of the sequence that chose i}
  void load_of(int64_t s, std::vector<float>& f) const {
    f.assign(size_t(count), 0);
    for (int64_t i = segments[s] * choices; i < segments[s + 1] * choices; i++) f[size_t(experts[i])] += 1;
    for (float& value : f) value *= float(double(count) / double(choices * length(s)));
  }
};

}  // namespace

// loss = mean over sequences of sum_i f_i p_i,  p_i = mean_t s'_ti,  s'_ti = s_ti / sum_j s_tj
void CpuBackend::balance_loss_forward(const Tensor& loss, const Tensor& scores, const Tensor& experts,
                                      const Tensor& segments) {
  const BalanceTask task(scores, experts, segments);
  thread_local std::vector<double> part_of_thread;
  std::vector<double>& part = part_of_thread;  // this thread's, also within the loop below
  part.assign(size_t(task.sequences), 0);
  parallel_for(task.sequences, task.grain(), [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> f;
    for (int64_t s = begin; s < end; s++) {
      if (task.length(s) == 0) continue;
      task.load_of(s, f);
      double total = 0;
      for (int64_t t = task.segments[s]; t < task.segments[s + 1]; t++) {
        total += double(kernels().rows->balance(task.scores + t * task.scores_row, f.data(), task.count));
      }
      part[size_t(s)] = total / double(task.length(s));
    }
  });
  double total = 0;
  for (double value : part) total += value;
  *data_of<float>(loss) = task.filled ? float(total / double(task.filled)) : 0;
}

// ds_ti = dloss / (S T) (f_i - sum_j f_j s'_tj) / sum_j s_tj;  f has no gradient
void CpuBackend::balance_loss_backward(const Tensor& dlogits, const Tensor& dloss, const Tensor& scores,
                                       const Tensor& experts, const Tensor& segments, GateArgs::Score score) {
  const BalanceTask task(scores, experts, segments);
  float* out = data_of<float>(dlogits);
  const double dl = double(*data_of<float>(dloss));
  parallel_for(task.sequences, task.grain(), [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> f;
    for (int64_t s = begin; s < end; s++) {
      if (task.length(s) == 0) continue;
      task.load_of(s, f);
      const float factor = float(dl / double(task.filled * task.length(s)));
      for (int64_t t = task.segments[s]; t < task.segments[s + 1]; t++) {
        kernels().rows->balance_grad(out + t * dlogits.stride(0), task.scores + t * task.scores_row, f.data(), factor,
                                     score == GateArgs::Score::kSoftmax, task.count);
      }
    }
  });
}

}  // namespace tenth
