// Updates of weights: AdamW, and the linear combination that Muon and weight averages need.
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace tenth {

using namespace cpu;

void CpuBackend::adamw_step(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& g, const AdamWArgs& args) {
  const AdamWFactors factors = {
      .rate = float(args.lr),
      .beta1 = float(args.beta1),
      .beta2 = float(args.beta2),
      .rest1 = float(1 - args.beta1),
      .rest2 = float(1 - args.beta2),
      .inverse_bias1 = float(1 / (1 - std::pow(args.beta1, double(args.step)))),
      .inverse_bias2 = float(1 / (1 - std::pow(args.beta2, double(args.step)))),
      .eps = float(args.eps),
      .weight_decay = float(args.weight_decay),
      .grad_scale = float(args.grad_scale),
      .cautious = args.cautious,
  };
  float *weights = data_of<float>(p), *first = data_of<float>(m), *second = data_of<float>(v);
  const float* gradient = data_of<float>(g);
  each_run<4>({&p, &m, &v, &g}, [&](const auto& at, int64_t n) {
    kernels().rows->adamw(weights + at[0], first + at[1], second + at[2], gradient + at[3], factors, n);
  });
}

void CpuBackend::decay_where_aligned(const Tensor& y, const Tensor& x, double share) {
  float* to = data_of<float>(y);
  const float *from = data_of<float>(x), kept = float(1 - share);
  each_run<2>({&y, &x}, [&](const auto& at, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[at[0] + i] *= from[at[1] + i] * to[at[0] + i] >= 0 ? kept : 1.0f;
  });
}

void CpuBackend::axpby(const Tensor& y, double a, const Tensor& x, double b) {
  float* to = data_of<float>(y);
  const float* from = data_of<float>(x);
  each_run<2>({&y, &x}, [&](const auto& at, int64_t n) {
    kernels().rows->axpby(to + at[0], float(a), from + at[1], float(b), n);
  });
}

}  // namespace tenth
