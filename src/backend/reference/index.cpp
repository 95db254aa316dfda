// The indexer of sparse attention.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {

// mu = mean_j x_nj;  y_nj = (x_nj - mu) (mean_j (x_nj - mu)^2 + eps)^(-1/2) w_j + b_j
void ReferenceBackend::layer_norm(const Tensor& y_, const Tensor& x_, const Tensor& w_, const Tensor& b_, double eps) {
  View y(y_), x(x_), w(w_), b(b_);
  const int64_t width = x_.dim(1);
  for (int64_t n = 0; n < x_.dim(0); n++) {
    double mean = 0, squares = 0;
    for (int64_t j = 0; j < width; j++) mean += x(n, j) / double(width);
    for (int64_t j = 0; j < width; j++) squares += (x(n, j) - mean) * (x(n, j) - mean);
    const double r = 1 / std::sqrt(squares / double(width) + eps);
    for (int64_t j = 0; j < width; j++) y(n, j) = (x(n, j) - mean) * r * w(j) + b(j);
  }
}

// score_s = sum_h w_nh max(0, q_nh . k_s)
void ReferenceBackend::select_keys(const Tensor& selected_, const IndexArgs& args) {
  View selected(selected_), q(args.q), weights(args.weights), k(args.k), keys(args.keys), segments(args.segments);
  View positions(args.places.positions), sequences(args.places.sequences), tables(args.places.tables);
  int64_t segment = 0;
  for (int64_t n = 0; n < args.q.dim(0); n++) {
    while (!args.keys && n >= int64_t(segments(segment + 1))) segment++;
    const int64_t begin = args.keys ? 0 : int64_t(segments(segment));
    const int64_t count = 1 + (args.keys ? int64_t(positions(n)) : n - begin);
    const auto key = [&](int64_t s, int64_t d) -> double {
      if (!args.keys) return k(begin + s, d);
      return keys(int64_t(tables(int64_t(sequences(n)), s / kCacheBlock)), d, s % kCacheBlock);
    };
    std::vector<double> scores(static_cast<size_t>(count));
    for (int64_t s = 0; s < count; s++)
      for (int64_t h = 0; h < args.q.dim(1); h++) {
        double product = 0;
        for (int64_t d = 0; d < args.q.dim(2); d++) product += q(n, h, d) * key(s, d);
        scores[size_t(s)] += weights(n, h) * std::max(0.0, product);
      }
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return scores[size_t(a)] > scores[size_t(b)]; });
    std::vector<uint32_t> words(size_t(selected_.dim(1)), 0);
    for (int64_t i = 0; i < std::min(args.top, count); i++)
      words[size_t(order[size_t(i)] / 32)] |= 1u << (order[size_t(i)] % 32);
    for (size_t i = 0; i < words.size(); i++) selected(n, int64_t(i)) = int32_t(words[i]);
  }
}

}  // namespace tenth::reference
