// Row-wise kernels, compiled once for each instruction set: include only from isa/*.cpp.
//
// A row is walked in whole vectors and one partial vector, and the sums over it are made lane by lane in that order, so
// that its result depends on the row alone.
#pragma once
#include "backend/cpu/lanes.h"
#include "backend/cpu/loss_kernels.h"
#include "backend/cpu/row_table.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

// --- elementwise -----------------------------------------------------------------------------------------------------

template <class Y, class X>
void copy(void* y_, const void* x_, int64_t n) {
  Y* y = static_cast<Y*>(y_);
  const X* x = static_cast<const X*>(x_);
  walk(n, [&](int64_t j, auto... count) { store(y + j, load(x + j, count...), count...); });
}

template <class Y, class X>
void scale(void* y_, const void* x_, float factor, int64_t n) {
  Y* y = static_cast<Y*>(y_);
  const X* x = static_cast<const X*>(x_);
  walk(n, [&](int64_t j, auto... count) { store(y + j, load(x + j, count...) * factor, count...); });
}

template <class Y, class A, class B>
void add(void* y_, const void* a_, const void* b_, int64_t n) {
  Y* y = static_cast<Y*>(y_);
  const A* a = static_cast<const A*>(a_);
  const B* b = static_cast<const B*>(b_);
  walk(n, [&](int64_t j, auto... count) { store(y + j, load(a + j, count...) + load(b + j, count...), count...); });
}

template <class T>
void accumulate(float* y, const T* x, int64_t n) {
  walk(n, [&](int64_t j, auto... count) { store(y + j, load(y + j, count...) + load(x + j, count...), count...); });
}

void axpby(float* y, float a, const float* x, float b, int64_t n) {
  walk(n, [&](int64_t j, auto... count) {
    store(y + j, load(x + j, count...) * a + load(y + j, count...) * b, count...);
  });
}

template <class T>
double sum_of_squares(const T* x, int64_t n) {
  typedef double Doubles __attribute__((vector_size(4 * kWidth)));
  typedef float Half __attribute__((vector_size(2 * kWidth), aligned(4), may_alias));
  Doubles low = {}, high = {};
  walk(n, [&](int64_t j, auto... count) {
    float lanes[kWidth];
    store(lanes, load(x + j, count...));
    const Doubles a = __builtin_convertvector(*(const Half*)lanes, Doubles);
    const Doubles b = __builtin_convertvector(*(const Half*)(lanes + kWidth / 2), Doubles);
    low = a * a + low;
    high = b * b + high;
  });
  double total = 0;
  for (int i = 0; i < kWidth / 2; i++) total += low[i] + high[i];
  return total;
}

void adamw(float* p, float* m, float* v, const float* g, const AdamWFactors& f, int64_t n) {
  walk(n, [&](int64_t j, auto... count) {
    const Vec gradient = load(g + j, count...) * f.grad_scale;
    const Vec first = load(m + j, count...) * f.beta1 + gradient * f.rest1;
    const Vec second = load(v + j, count...) * f.beta2 + gradient * gradient * f.rest2;
    const Vec weight = load(p + j, count...);
    const Vec step = first * f.inverse_bias1 / (square_root(second * f.inverse_bias2) + f.eps);
    store(m + j, first, count...);
    store(v + j, second, count...);
    store(p + j, weight - (step + weight * f.weight_decay) * f.rate, count...);
  });
}

// --- RMSNorm ---------------------------------------------------------------------------------------------------------

template <class T>
void rms_norm(const RmsNormTask<T>& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const T* x = t.x + n * t.x_row;
    T* y = t.y + n * t.y_row;
    const float squares = sum_over(t.width, [&](int64_t j, auto... count) {
      const Vec value = load(x + j, count...);
      return value * value;
    });
    const float r = 1 / __builtin_sqrtf(squares / float(t.width) + t.eps);
    t.rstd[n] = r;
    walk(t.width, [&](int64_t j, auto... count) {
      store(y + j, load(x + j, count...) * r * load(t.w + j, count...), count...);
    });
  }
}

// With xh = x r:  dx = r (dy w - xh mean(dy w xh)) + dresidual;  dw += dy xh
template <class T>
void rms_norm_grad(const RmsNormGradTask<T>& t, float* dw, int64_t begin, int64_t end) {
  walk(t.width, [&](int64_t j, auto... count) { store(dw + j, zero(), count...); });
  for (int64_t n = begin; n < end; n++) {
    const T *x = t.x + n * t.x_row, *dy = t.dy + n * t.dy_row;
    const T* dresidual = t.dresidual ? t.dresidual + n * t.dresidual_row : nullptr;
    T* dx = t.dx + n * t.dx_row;
    const float r = t.rstd[n];
    const float total = sum_over(t.width, [&](int64_t j, auto... count) {
      const Vec product = load(dy + j, count...) * (load(x + j, count...) * r);
      store(dw + j, load(dw + j, count...) + product, count...);
      return product * load(t.w + j, count...);
    });
    const float mean = r * total / float(t.width);
    walk(t.width, [&](int64_t j, auto... count) {
      Vec g = (load(dy + j, count...) * load(t.w + j, count...) - load(x + j, count...) * mean) * r;
      if (dresidual) g = g + load(dresidual + j, count...);
      store(dx + j, g, count...);
    });
  }
}

// --- rotary positions ------------------------------------------------------------------------------------------------

constexpr int64_t kRopePairs = 64;  // done at a time

// (a, b) -> (a cos - b sin, a sin + b cos) for the pairs (x[2 i], x[2 i + 1]), given cosines twice and sines with both
// signs: y = x cos2 + neighbour(x) sin2
template <class T>
void rotate_adjacent(T* y, const T* x, const float* cos2, const float* sin2, int64_t pairs) {
  walk(2 * pairs, [&](int64_t j, auto... count) {
    const Vec value = load(x + j, count...);
    store(y + j, value * load(cos2 + j) + exchange<1>(value) * load(sin2 + j), count...);
  });
}

// The same for the pairs (a[i], b[i]).
template <class T>
void rotate_halves(T* ya, T* yb, const T* a_, const T* b_, const float* cosines, const float* sines, int64_t pairs) {
  walk(pairs, [&](int64_t j, auto... count) {
    const Vec a = load(a_ + j, count...), b = load(b_ + j, count...), c = load(cosines + j), s = load(sines + j);
    store(ya + j, a * c - b * s, count...);
    store(yb + j, a * s + b * c, count...);
  });
}

// Pairs [from, from + pairs) of all heads of one token.
template <class T>
void rope_pairs(const RopeTask<T>& t, T* y, const T* x, const float* cosines, int64_t from, int64_t pairs) {
  const float *sines = cosines + t.pairs, sign = t.inverse ? -1.0f : 1.0f;
  float c[2 * kRopePairs + kWidth], s[2 * kRopePairs + kWidth];
  for (int64_t i = 0; i < pairs; i++) {
    const float sine = sign * sines[from + i];
    if (t.halves) {
      c[i] = cosines[from + i];
      s[i] = sine;
    } else {
      c[2 * i] = c[2 * i + 1] = cosines[from + i];
      s[2 * i] = -sine;
      s[2 * i + 1] = sine;
    }
  }
  const int64_t used = t.halves ? pairs : 2 * pairs;
  for (int64_t i = used; i < (used + kWidth - 1) / kWidth * kWidth; i++) c[i] = s[i] = 0;
  for (int64_t h = 0; h < t.heads; h++) {
    T* to = y + h * t.y_head + t.first;
    const T* of = x + h * t.x_head + t.first;
    if (t.halves) {
      rotate_halves(to + from, to + t.pairs + from, of + from, of + t.pairs + from, c, s, pairs);
    } else {
      rotate_adjacent(to + 2 * from, of + 2 * from, c, s, pairs);
    }
  }
}

template <class T>
void rope(const RopeTask<T>& t, int64_t begin, int64_t end) {
  const int64_t after = t.first + 2 * t.pairs;
  for (int64_t n = begin; n < end; n++) {
    T* y = t.y + n * t.y_row;
    const T* x = t.x + n * t.x_row;
    for (int64_t from = 0; from < t.pairs; from += kRopePairs)
      rope_pairs(t, y, x, t.table + int64_t(t.positions[n]) * 2 * t.pairs, from,
                 t.pairs - from < kRopePairs ? t.pairs - from : kRopePairs);
    if (y == x) continue;
    for (int64_t h = 0; h < t.heads; h++) {
      copy<T, T>(y + h * t.y_head, x + h * t.x_head, t.first);
      copy<T, T>(y + h * t.y_head + after, x + h * t.x_head + after, t.width - after);
    }
  }
}

// --- SwiGLU ----------------------------------------------------------------------------------------------------------

TENTH_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }

template <class T>
void swiglu(const SwigluTask<T>& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const T *gate = t.gate_up + n * t.gate_up_row, *up = gate + t.width;
    T* y = t.y + n * t.y_row;
    walk(t.width, [&](int64_t j, auto... count) {
      const Vec g = load(gate + j, count...);
      store(y + j, g * load(up + j, count...) / (1.0f + exp(-g)), count...);
    });
  }
}

// du = dy silu(g);  dg = dy u s (1 + g (1 - s)),  s = sigmoid(g)
template <class T>
void swiglu_grad(const SwigluGradTask<T>& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const T *gate = t.gate_up + n * t.gate_up_row, *up = gate + t.width, *dy = t.dy + n * t.dy_row;
    T *dgate = t.dgate_up + n * t.dgate_up_row, *dup = dgate + t.width;
    walk(t.width, [&](int64_t j, auto... count) {
      const Vec g = load(gate + j, count...), d = load(dy + j, count...), s = sigmoid(g);
      store(dgate + j, d * load(up + j, count...) * s * (1.0f + g * (1.0f - s)), count...);
      store(dup + j, d * g * s, count...);
    });
  }
}

// --- experts' results ------------------------------------------------------------------------------------------------

template <class T>
void combine(const CombineTask<T>& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const int32_t* rows = t.row_of + n * t.choices;
    const float* weights = t.weights ? t.weights + n * t.choices : nullptr;
    T* y = t.y + n * t.y_row;
    walk(t.width, [&](int64_t j, auto... count) {
      Vec total = zero();
      for (int64_t k = 0; k < t.choices; k++) {
        const Vec x = load(t.x + rows[k] * t.x_row + j, count...);
        total = weights ? x * weights[k] + total : x + total;
      }
      store(y + j, total, count...);
    });
  }
}

template <class T>
void combine_grad(const CombineGradTask<T>& t, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; n++) {
    const T* dy = t.dy + n * t.dy_row;
    for (int64_t i = n * t.choices; i < (n + 1) * t.choices; i++) {
      T* dx = t.dx + t.row_of[i] * t.dx_row;
      if (t.weights) {
        scale<T, T>(dx, dy, t.weights[i], t.width);
      } else {
        copy<T, T>(dx, dy, t.width);
      }
      if (!t.dweights) continue;
      const T* x = t.x + t.row_of[i] * t.x_row;
      t.dweights[i] =
          sum_over(t.width, [&](int64_t j, auto... count) { return load(dy + j, count...) * load(x + j, count...); });
    }
  }
}

// --- the table -------------------------------------------------------------------------------------------------------

template <class T>
constexpr RowKernelsOf<T> kRowKernelsOf = {
    .rms_norm = rms_norm<T>,
    .rms_norm_grad = rms_norm_grad<T>,
    .rope = rope<T>,
    .swiglu = swiglu<T>,
    .swiglu_grad = swiglu_grad<T>,
    .combine = combine<T>,
    .combine_grad = combine_grad<T>,
    .accumulate = accumulate<T>,
    .sum_of_squares = sum_of_squares<T>,
};

typedef uint16_t Half;  // bf16

constexpr RowKernels kRowKernels = {
    .f32 = kRowKernelsOf<float>,
    .bf16 = kRowKernelsOf<Half>,
    .copy = {{copy<float, float>, copy<float, Half>}, {copy<Half, float>, copy<Half, Half>}},
    .scale = {{scale<float, float>, scale<float, Half>}, {scale<Half, float>, scale<Half, Half>}},
    .add = {{{add<float, float, float>, add<float, float, Half>}, {add<float, Half, float>, add<float, Half, Half>}},
            {{add<Half, float, float>, add<Half, float, Half>}, {add<Half, Half, float>, add<Half, Half, Half>}}},
    .logprobs = logprobs,
    .logprobs_grad = logprobs_grad,
    .scores = scores,
    .adamw = adamw,
    .axpby = axpby,
};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
