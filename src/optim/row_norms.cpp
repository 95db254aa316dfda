#include "optim/row_norms.h"

#include <cmath>
#include <vector>

namespace tenth {
namespace {

constexpr double kEps = 1e-10;

std::vector<double> to_doubles(const Tensor& t) {
  if (t.dtype() == DType::kF64) return t.to_host<double>();
  const std::vector<float> values = t.to_host<float>();
  return {values.begin(), values.end()};
}

}  // namespace

void normalize_rows(Backend& backend, const Tensor& o, const Tensor& second, double beta2) {
  const int64_t rows = o.dim(0), columns = o.dim(1);
  const std::vector<double> moments = to_doubles(second);
  std::vector<double> factors(moments.size());
  double before = 0, after = 0;
  for (int64_t i = 0; i < rows; i++) {
    const double squares = backend.sum_of_squares(o.slice(0, i, i + 1));
    const double moment = beta2 * moments[size_t(i)] + (1 - beta2) * squares / double(columns);
    backend.fill(second.slice(0, i, i + 1), moment);
    const double factor = 1 / (std::sqrt(moment) + kEps);
    factors[size_t(i)] = factor;
    before += squares;
    after += squares * factor * factor;
  }
  const double restore = after > 0 ? std::sqrt(before / after) : 1;
  for (int64_t i = 0; i < rows; i++) {
    const Tensor row = o.slice(0, i, i + 1);
    backend.scale(row, row, factors[size_t(i)] * restore);
  }
}

}  // namespace tenth
