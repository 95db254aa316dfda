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

template <class Y>
void fill(void* y_, float value, int64_t n) {
  Y* y = static_cast<Y*>(y_);
  walk(n, [&](int64_t j, auto... count) { store(y + j, broadcast(value), count...); });
}

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
    Vec decayed = weight;
    if (f.cautious) decayed = first * weight >= 0.0f ? weight : zero();
    store(p + j, weight - (step + decayed * f.weight_decay) * f.rate, count...);
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

// (a, b) -> (a cos - b sin, a sin + b cos) for the pairs (x[2 i], x[2 i + 1]) of all heads: with each cosine twice and
// each sine with both signs, y = x cos2 + neighbour(x) sin2.
template <class T>
void rotate_adjacent(const RopeTask<T>& t, T* y, const T* x, const float* cosines, const float* sines, float sign) {
  const auto rotate = [&](Vec c, Vec s, int64_t j, auto... count) {
    for (int64_t h = 0; h < t.heads; h++) {
      const Vec value = load(x + h * t.x_head + j, count...);
      store(y + h * t.y_head + j, value * c + exchange<1>(value) * s, count...);
    }
  };
  walk(t.pairs, [&](int64_t i, auto... count) {
    const Vec c = load(cosines + i, count...), s = load(sines + i, count...) * sign;
    const Vec c0 = interleave<0>(c, c, AllLanes()), c1 = interleave<1>(c, c, AllLanes());
    const Vec s0 = interleave<0>(-s, s, AllLanes()), s1 = interleave<1>(-s, s, AllLanes());
    const int64_t left = 2 * (t.pairs - i);
    if (left >= kWidth) {
      rotate(c0, s0, 2 * i);
    } else {
      rotate(c0, s0, 2 * i, int(left));
    }
    if (left >= 2 * kWidth) {
      rotate(c1, s1, 2 * i + kWidth);
    } else if (left > kWidth) {
      rotate(c1, s1, 2 * i + kWidth, int(left - kWidth));
    }
  });
}

// The same for the pairs (x[i], x[i + pairs]).
template <class T>
void rotate_halves(const RopeTask<T>& t, T* y, const T* x, const float* cosines, const float* sines, float sign) {
  walk(t.pairs, [&](int64_t i, auto... count) {
    const Vec c = load(cosines + i, count...), s = load(sines + i, count...) * sign;
    for (int64_t h = 0; h < t.heads; h++) {
      const T* of = x + h * t.x_head + i;
      T* to = y + h * t.y_head + i;
      const Vec a = load(of, count...), b = load(of + t.pairs, count...);
      store(to, a * c - b * s, count...);
      store(to + t.pairs, a * s + b * c, count...);
    }
  });
}

template <class T>
void rope(const RopeTask<T>& t, int64_t begin, int64_t end) {
  const int64_t after = t.first + 2 * t.pairs;
  for (int64_t n = begin; n < end; n++) {
    T* y = t.y + n * t.y_row;
    const T* x = t.x + n * t.x_row;
    const float *cosines = t.table + int64_t(t.positions[n]) * 2 * t.pairs, *sines = cosines + t.pairs;
    const auto rotate = t.halves ? rotate_halves<T> : rotate_adjacent<T>;
    rotate(t, y + t.first, x + t.first, cosines, sines, t.inverse ? -1.0f : 1.0f);
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
    .fill = {fill<float>, fill<Half>},
    .copy = {{copy<float, float>, copy<float, Half>}, {copy<Half, float>, copy<Half, Half>}},
    .scale = {{scale<float, float>, scale<float, Half>}, {scale<Half, float>, scale<Half, Half>}},
    .add = {{{add<float, float, float>, add<float, float, Half>}, {add<float, Half, float>, add<float, Half, Half>}},
            {{add<Half, float, float>, add<Half, float, Half>}, {add<Half, Half, float>, add<Half, Half, Half>}}},
    .logprobs = logprobs,
    .logprobs_grad = logprobs_grad,
    .scores = scores,
    .balance = balance,
    .balance_grad = balance_grad,
    .adamw = adamw,
    .axpby = axpby,
};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
