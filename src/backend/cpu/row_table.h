// Norms, activations, losses and other row-wise kernels of one instruction set (row_kernels.h, loss_kernels.h). T is
// float, or uint16_t for bf16. Strides (…_row, …_head) in elements. Kernels of a task do the rows [begin, end).
#pragma once
#include <cstdint>

namespace tenth::cpu {

template <class T>
struct RmsNormTask {
  int64_t width;
  T* y;
  float* rstd;
  const T* x;
  const float* w;
  int64_t y_row, x_row;
  float eps;
};

template <class T>
struct RmsNormGradTask {
  int64_t width;
  T* dx;
  const T *dy, *dresidual, *x;  // dresidual: null for none
  const float *rstd, *w;
  int64_t dx_row, dy_row, dresidual_row, x_row;
};

template <class T>
struct RopeTask {
  int64_t heads, width, first, pairs;  // dimensions [first, first + 2 pairs) of each head's width
  T* y;
  const T* x;
  int64_t y_row, y_head, x_row, x_head;
  const int32_t* positions;
  const float* table;  // (P, 2, pairs): cosines, then sines
  bool halves, inverse;
};

template <class T>
struct SwigluTask {
  int64_t width;
  T* y;
  const T* gate_up;
  int64_t y_row, gate_up_row;
};

template <class T>
struct SwigluGradTask {
  int64_t width;
  T* dgate_up;
  const T *dy, *gate_up;
  int64_t dgate_up_row, dy_row, gate_up_row;
};

// Rows are tokens, of `choices` experts each.
template <class T>
struct CombineTask {
  int64_t width, choices;
  T* y;
  const T* x;
  const float* weights;  // (N, choices), null: all 1
  const int32_t* row_of;
  int64_t y_row, x_row;
};

template <class T>
struct CombineGradTask {
  int64_t width, choices;
  T* dx;
  float* dweights;  // null: not wanted
  const T *dy, *x;
  const float* weights;
  const int32_t* row_of;
  int64_t dx_row, dy_row, x_row;
};

struct LogprobTask {
  int64_t width;
  float *logprobs, *lse, *entropy;  // entropy: null where not wanted
  const float* logits;
  const int32_t* targets;
  int64_t logits_row;
};

struct LogprobGradTask {
  int64_t first, width;  // columns of all
  float* logits;
  const float *dlogprobs, *lse, *dlse;  // dlse: null for none
  const int32_t* targets;
  int64_t logits_row;
};

struct ScoreTask {
  int64_t width;
  float* scores;
  const float* logits;
  int64_t scores_row, logits_row;
  bool softmax;  // else sigmoid
};

// p -= rate (m inverse_bias1 / (sqrt(v inverse_bias2) + eps) + weight_decay p)
struct AdamWFactors {
  float rate, beta1, beta2, rest1, rest2, inverse_bias1, inverse_bias2, eps, weight_decay, grad_scale;
  bool cautious;
};

template <class T>
struct RowKernelsOf {
  void (*rms_norm)(const RmsNormTask<T>& task, int64_t begin, int64_t end);
  // dw (width) = the sum over these rows.
  void (*rms_norm_grad)(const RmsNormGradTask<T>& task, float* dw, int64_t begin, int64_t end);
  void (*rope)(const RopeTask<T>& task, int64_t begin, int64_t end);
  void (*swiglu)(const SwigluTask<T>& task, int64_t begin, int64_t end);
  void (*swiglu_grad)(const SwigluGradTask<T>& task, int64_t begin, int64_t end);
  void (*combine)(const CombineTask<T>& task, int64_t begin, int64_t end);
  void (*combine_grad)(const CombineGradTask<T>& task, int64_t begin, int64_t end);
  void (*accumulate)(float* y, const T* x, int64_t n);  // y += x
  double (*sum_of_squares)(const T* x, int64_t n);
};

struct RowKernels {
  RowKernelsOf<float> f32;
  RowKernelsOf<uint16_t> bf16;
  // Of n elements next to each other. An index says the type of an operand, in the order of the arguments: 0 f32, 1
  // bf16.
  void (*fill[2])(void* y, float value, int64_t n);
  void (*copy[2][2])(void* y, const void* x, int64_t n);
  void (*scale[2][2])(void* y, const void* x, float factor, int64_t n);
  void (*add[2][2][2])(void* y, const void* a, const void* b, int64_t n);

  void (*logprobs)(const LogprobTask& task, int64_t begin, int64_t end);
  void (*logprobs_grad)(const LogprobGradTask& task, int64_t begin, int64_t end);
  void (*scores)(const ScoreTask& task, int64_t begin, int64_t end);
  // Of one row of scores s and loads f:  sum f s / sum s;  and dz, the gradient of the logits times factor.
  float (*balance)(const float* s, const float* f, int64_t n);
  void (*balance_grad)(float* dz, const float* s, const float* f, float factor, bool softmax, int64_t n);
  void (*adamw)(float* p, float* m, float* v, const float* g, const AdamWFactors& factors, int64_t n);
  void (*axpby)(float* y, float a, const float* x, float b, int64_t n);
};

}  // namespace tenth::cpu
