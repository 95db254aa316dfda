#include "optim/newton_schulz.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

namespace tenth {
namespace {

constexpr double kNormEps = 1e-7;

struct Polynomial {
  double a, b, c;
};

constexpr Polynomial kQuintic = {3.4445, -4.7750, 2.0315};
constexpr Polynomial kLast = {2, -1.5, 0.5};
constexpr Polynomial kKeller[] = {kQuintic, kQuintic, kQuintic, kQuintic, kQuintic};
constexpr Polynomial kV4[] = {kQuintic, kQuintic, kQuintic, kQuintic, kQuintic,
                              kQuintic, kQuintic, kQuintic, kLast,    kLast};
// Of a lower bound of 1e-3 on the singular values, with safety 0.02 and cushion 2, as modded-nanogpt and nanochat have
// them.
constexpr Polynomial kPolarExpress[] = {{8.156554524902461, -22.48329292557795, 15.878769915207462},
                                        {4.042929935166739, -2.808917465908714, 0.5000178451051316},
                                        {3.8916678022926607, -2.772484153217685, 0.5060648178503393},
                                        {3.285753657755655, -2.3681294933425376, 0.46449024233003106},
                                        {2.3465413258596377, -1.7097828382687081, 0.42323551169305323}};
constexpr double kPolarExpressSafety = 1.02;

std::span<const Polynomial> steps_of(MuonVariant variant) {
  switch (variant) {
    case MuonVariant::kKeller: return kKeller;
    case MuonVariant::kV4: return kV4;
    case MuonVariant::kPolarExpress: return kPolarExpress;
  }
  return {};
}

Tensor part(const Tensor& buffer, int64_t rows, int64_t columns) {
  return buffer.slice(0, 0, rows * columns).view({rows, columns});
}

}  // namespace

MuonWorkspace::MuonWorkspace(Backend& backend, DType dtype, int64_t elements, int64_t square, DType products)
    : x(Tensor::make(backend, dtype, {elements})),
      from(products == dtype ? x : Tensor::make(backend, products, {elements})),
      to(Tensor::make(backend, products, {elements})),
      a(Tensor::make(backend, products, {square})),
      b(Tensor::make(backend, products, {square})) {}

// For n > m the shorter product is A = X^T X, and X <- a X + X (b A + c A^2): the same matrix, transposed throughout.
Tensor newton_schulz(Backend& backend, const Tensor& start, const MuonWorkspace& workspace, MuonVariant variant) {
  const int64_t rows = start.dim(0), columns = start.dim(1), side = std::min(rows, columns);
  const bool tall = rows > columns, narrow = workspace.from.dtype() != start.dtype();
  const Tensor a = part(workspace.a, side, side), b = part(workspace.b, side, side);
  Tensor x = narrow ? part(workspace.from, rows, columns) : start, y = part(workspace.to, rows, columns);
  const double safety = variant == MuonVariant::kPolarExpress ? kPolarExpressSafety : 1;
  backend.scale(start, start, 1 / (safety * std::sqrt(backend.sum_of_squares(start)) + kNormEps));
  if (narrow) backend.copy(x, start);
  for (const Polynomial& p : steps_of(variant)) {
    backend.matmul(a, x, tall, x, !tall, {.symmetric = true});
    backend.matmul(b, a, false, a, false, {.symmetric = true, .alpha = p.c, .add = a, .beta = p.b});
    const MatmulArgs plus_x = {.add = x, .beta = p.a};
    if (tall) {
      backend.matmul(y, x, false, b, false, plus_x);
    } else {
      backend.matmul(y, b, false, x, false, plus_x);
    }
    std::swap(x, y);
  }
  if (!narrow) return x;
  backend.copy(start, x);
  return start;
}

// Each step: A = X X^T, A A and (b A + c A A) X.
double newton_schulz_flops(int64_t rows, int64_t columns, MuonVariant variant) {
  const double n = double(std::min(rows, columns)), m = double(std::max(rows, columns));
  return double(steps_of(variant).size()) * (4 * n * n * m + 2 * n * n * n);
}

}  // namespace tenth
