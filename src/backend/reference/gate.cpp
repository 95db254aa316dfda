// The router: scores, choice of experts, weights; and the sequence-wise balance loss.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
using Row = std::vector<double>;

// softmax: s_e = e^{z_e} / sum_j e^{z_j};  sigmoid: s_e = 1 / (1 + e^{-z_e})
Row scores_of(const Row& z, GateArgs::Score score) {
  Row s(z.size());
  if (score == GateArgs::Score::kSigmoid) {
    for (size_t e = 0; e < z.size(); e++) s[e] = 1 / (1 + std::exp(-z[e]));
    return s;
  }
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (size_t e = 0; e < z.size(); e++) sum += s[e] = std::exp(z[e] - top);
  for (double& value : s) value /= sum;
  return s;
}

// The indices of the count largest values, ascending. Equal values: the lowest index.
std::vector<size_t> largest(const Row& values, int count) {
  std::vector<size_t> order(values.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  order.resize(size_t(count));
  std::sort(order.begin(), order.end());
  return order;
}

// Groups are neighbours of equal size. kMax: their best score; kTopTwoSum: the sum of their two best biased scores.
// NaN counts as -inf, so that the choice is valid whatever the scores are.
std::vector<size_t> choose(Row scores, Row biased, const GateArgs& args) {
  for (double& value : scores) value = std::isnan(value) ? kMinusInfinity : value;
  for (double& value : biased) value = std::isnan(value) ? kMinusInfinity : value;
  const size_t size = scores.size() / size_t(args.groups);
  if (args.groups_kept < args.groups) {
    Row group_scores;
    for (size_t g = 0; g < size_t(args.groups); g++) {
      const Row& from = args.group_score == GateArgs::GroupScore::kMax ? scores : biased;
      Row best(from.begin() + int64_t(g * size), from.begin() + int64_t((g + 1) * size));
      std::sort(best.rbegin(), best.rend());
      const bool two = args.group_score == GateArgs::GroupScore::kTopTwoSum && size > 1;
      group_scores.push_back(two ? best[0] + best[1] : best[0]);
    }
    std::vector<size_t> kept = largest(group_scores, args.groups_kept);
    for (size_t e = 0; e < biased.size(); e++)
      if (std::find(kept.begin(), kept.end(), e / size) == kept.end()) biased[e] = kMinusInfinity;
  }
  return largest(biased, args.experts_per_token);
}

// dz of a row from ds.  softmax: dz_e = s_e (ds_e - sum_j ds_j s_j);  sigmoid: dz_e = ds_e s_e (1 - s_e)
void scores_backward(const View& dlogits, const View& scores, int64_t n, const Row& ds, GateArgs::Score score) {
  double mean = 0;
  for (size_t e = 0; e < ds.size(); e++) mean += ds[e] * scores(n, e);
  for (size_t e = 0; e < ds.size(); e++) {
    const double s = scores(n, e);
    dlogits(n, e) = score == GateArgs::Score::kSoftmax ? s * (ds[e] - mean) : ds[e] * s * (1 - s);
  }
}

}  // namespace

// w_i = scaling s_i / (sum_{chosen} s + 1e-20), or scaling s_i
void ReferenceBackend::gate_forward(const Tensor& weights_, const Tensor& experts_, const Tensor& scores_,
                                    const Tensor& logits_, const Tensor& bias_, bool replay, const GateArgs& args) {
  View weights(weights_), experts(experts_), scores(scores_), logits(logits_), bias(bias_);
  const size_t count = size_t(logits_.dim(1));
  for (int64_t n = 0; n < logits_.dim(0); n++) {
    Row row(count), biased(count);
    for (size_t e = 0; e < count; e++) row[e] = logits(n, e);
    row = scores_of(row, args.score);
    for (size_t e = 0; e < count; e++) {
      scores(n, e) = row[e];
      row[e] = scores(n, e);  // what the caller sees decides, also about ties
      biased[e] = bias ? row[e] + bias(e) : row[e];
    }
    if (!replay) {
      std::vector<size_t> chosen = choose(row, biased, args);
      for (size_t k = 0; k < chosen.size(); k++) experts(n, k) = double(chosen[k]);
    }
    double sum = 1e-20;
    for (int k = 0; k < args.experts_per_token; k++) sum += row[size_t(experts(n, k))];
    for (int k = 0; k < args.experts_per_token; k++)
      weights(n, k) = args.scaling * row[size_t(experts(n, k))] / (args.normalize ? sum : 1);
  }
}

// Normalised, Z = sum_{chosen} s:  ds_i = scaling / Z (dw_i - sum_j dw_j s_j / Z);  else ds_i = scaling dw_i;
// 0 for experts that were not chosen. An expert that stands twice (replay) takes both.
void ReferenceBackend::gate_backward(const Tensor& dlogits_, const Tensor& dweights_, const Tensor&,
                                     const Tensor& experts_, const Tensor& scores_, const GateArgs& args) {
  View dlogits(dlogits_), dweights(dweights_), experts(experts_), scores(scores_);
  for (int64_t n = 0; n < scores_.dim(0); n++) {
    double z = 1e-20, mean = 0;
    for (int k = 0; k < args.experts_per_token; k++) z += scores(n, int64_t(experts(n, k)));
    for (int k = 0; k < args.experts_per_token; k++) mean += dweights(n, k) * scores(n, int64_t(experts(n, k))) / z;
    Row ds(size_t(scores_.dim(1)));
    for (int k = 0; k < args.experts_per_token; k++)
      ds[size_t(experts(n, k))] +=
          args.normalize ? args.scaling / z * (dweights(n, k) - mean) : args.scaling * dweights(n, k);
    scores_backward(dlogits, scores, n, ds, args.score);
  }
}

namespace {

// f_i = E / (K T) #{tokens of the sequence that chose i}
Row load_of(const View& experts, int64_t begin, int64_t end, int64_t expert_count, int64_t experts_per_token) {
  Row f(static_cast<size_t>(expert_count));
  for (int64_t t = begin; t < end; t++)
    for (int64_t k = 0; k < experts_per_token; k++)
      f[size_t(experts(t, k))] += double(expert_count) / double(experts_per_token * (end - begin));
  return f;
}

// Calls body(begin, end) for every sequence that has tokens; returns how many there are.
template <class Body>
int64_t each_sequence(const Tensor& segments_, const Body& body) {
  View segments(segments_);
  int64_t count = 0;
  for (int64_t s = 0; s + 1 < segments_.dim(0); s++) {
    const int64_t begin = int64_t(segments(s)), end = int64_t(segments(s + 1));
    if (begin == end) continue;
    body(begin, end);
    count++;
  }
  return count;
}

double sum_of(const View& scores, int64_t n, size_t count) {
  double sum = 0;
  for (size_t e = 0; e < count; e++) sum += scores(n, e);
  return sum;
}

}  // namespace

// loss = mean over sequences of sum_i f_i p_i,  p_i = mean_t s'_ti,  s'_ti = s_ti / sum_j s_tj
void ReferenceBackend::balance_loss_forward(const Tensor& loss_, const Tensor& scores_, const Tensor& experts_,
                                            const Tensor& segments) {
  View loss(loss_), scores(scores_), experts(experts_);
  double total = 0;
  const int64_t sequences = each_sequence(segments, [&](int64_t begin, int64_t end) {
    const Row f = load_of(experts, begin, end, scores_.dim(1), experts_.dim(1));
    for (int64_t t = begin; t < end; t++) {
      const double sum = sum_of(scores, t, f.size());
      for (size_t i = 0; i < f.size(); i++) total += f[i] * scores(t, i) / sum / double(end - begin);
    }
  });
  loss(0) = sequences ? total / double(sequences) : 0;
}

// ds_ti = dloss / (S T) (f_i - sum_j f_j s'_tj) / sum_j s_tj;  f has no gradient
void ReferenceBackend::balance_loss_backward(const Tensor& dlogits_, const Tensor& dloss, const Tensor& scores_,
                                             const Tensor& experts_, const Tensor& segments, GateArgs::Score score) {
  View dlogits(dlogits_), scores(scores_), experts(experts_);
  const int64_t sequences = each_sequence(segments, [](int64_t, int64_t) {});
  each_sequence(segments, [&](int64_t begin, int64_t end) {
    const Row f = load_of(experts, begin, end, scores_.dim(1), experts_.dim(1));
    const double factor = View(dloss)(0) / double(sequences * (end - begin));
    for (int64_t t = begin; t < end; t++) {
      const double sum = sum_of(scores, t, f.size());
      double mean = 0;
      for (size_t j = 0; j < f.size(); j++) mean += f[j] * scores(t, j) / sum;
      Row ds(f.size());
      for (size_t i = 0; i < f.size(); i++) ds[i] = factor * (f[i] - mean) / sum;
      scores_backward(dlogits, scores, t, ds, score);
    }
  });
}

}  // namespace tenth::reference
