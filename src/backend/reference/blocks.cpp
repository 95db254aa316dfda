// Products with weights of 8 or 4 bits: activations are rounded to 8 bits, block by block, as on every backend.
#include <cmath>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {
namespace {

constexpr int64_t kInputs = BlockWeight::kInputs;

// Rounds each block of 32 of a row: amax / 127 times a whole number. The roundings are those of float32.
void round_blocks(std::vector<double>& row) {
  for (size_t b = 0; b < row.size(); b += kInputs) {
    float amax = 0;
    bool finite = true;
    for (size_t i = b; i < b + kInputs; i++) {
      amax = std::max(amax, std::fabs(float(row[i])));
      finite &= std::isfinite(row[i]);
    }
    const float inverse = amax > 0 ? 127 / amax : 0, scale = finite ? amax / 127 : NAN;
    for (size_t i = b; i < b + kInputs; i++) row[i] = double(scale) * double(std::nearbyint(float(row[i]) * inverse));
  }
}

// w[group] a, with the row a rounded.
std::vector<double> product(const BlockWeight& w, int64_t group, const std::vector<double>& row) {
  std::vector<double> a = row;
  round_blocks(a);
  if (w.fine) {
    std::vector<double> left = row;
    for (size_t i = 0; i < a.size(); i++) left[i] = double(float(row[i] - a[i]));
    round_blocks(left);
    for (size_t i = 0; i < a.size(); i++) a[i] += left[i];
  }
  std::vector<float> weights(static_cast<size_t>(w.inputs));
  std::vector<double> sums;
  for (int64_t o = 0; o < w.outputs; o++) {
    unpack_row(w, group, o, weights.data());
    double sum = 0;
    for (size_t i = 0; i < a.size(); i++) sum += a[i] * double(weights[i]);
    sums.push_back(sum);
  }
  return sums;
}

}  // namespace

void ReferenceBackend::block_linear_forward(const Tensor& y_, const Tensor& x_, const BlockWeight& w,
                                            const Tensor& bias_, const Tensor& offsets) {
  View y(y_), x(x_), bias(bias_), offset(offsets);
  std::vector<double> row(static_cast<size_t>(w.inputs));
  for (int64_t group = 0; group < w.groups; group++) {
    const int64_t begin = offsets ? int64_t(offset(group)) : 0, end = offsets ? int64_t(offset(group + 1)) : x_.dim(0);
    for (int64_t n = begin; n < end; n++) {
      for (int64_t i = 0; i < w.inputs; i++) row[size_t(i)] = x(n, i);
      const std::vector<double> sums = product(w, group, row);
      for (int64_t o = 0; o < w.outputs; o++) y(n, o) = bias_ ? sums[size_t(o)] + bias(o) : sums[size_t(o)];
    }
  }
}

void ReferenceBackend::block_heads_forward(const Tensor& y_, const Tensor& x_, const BlockWeight& w) {
  View y(y_), x(x_);
  std::vector<double> row(static_cast<size_t>(w.inputs));
  for (int64_t n = 0; n < x_.dim(0); n++)
    for (int64_t h = 0; h < w.groups; h++) {
      for (int64_t i = 0; i < w.inputs; i++) row[size_t(i)] = x(n, h, i);
      const std::vector<double> sums = product(w, h, row);
      for (int64_t o = 0; o < w.outputs; o++) y(n, h, o) = sums[size_t(o)];
    }
}

void ReferenceBackend::block_embedding_forward(const Tensor& y_, const Tensor& ids, const BlockWeight& w) {
  View y(y_), id(ids);
  std::vector<float> row(static_cast<size_t>(w.inputs));
  for (int64_t n = 0; n < ids.dim(0); n++) {
    unpack_row(w, 0, int64_t(id(n)), row.data());
    for (int64_t i = 0; i < w.inputs; i++) y(n, i) = double(row[size_t(i)]);
  }
}

}  // namespace tenth::reference
