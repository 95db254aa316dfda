// From floats to blocks, for the formats that are written. Layouts: block_format.cpp.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "tensor/block_format.h"
#include "tensor/half.h"

namespace tenth {
namespace {

using Bytes = uint8_t*;

constexpr float kLargestHalf = 65504;

// Stores a half and gives back what a reader will see.
float put_half(Bytes p, float value) {
  const uint16_t bits = float_to_half(value);
  std::memcpy(p, &bits, 2);
  return half_to_float(bits);
}

// 1 / x; 0 for what is too small to have one, which no half-precision scale can hold either.
float reciprocal(float x) { return std::abs(x) < 1e-30f ? 0 : 1 / x; }

// To the nearest whole number, ties to even, clamped; small numbers. Adding 1.5 2^23, whose unit is 1, rounds, in loops
// that compile to vectors on every machine.
float rounded(float x, float low, float high) {
  x = x < low ? low : x > high ? high : x;
  return (x + 0x1.8p23f) - 0x1.8p23f;
}
int rounded_int(float x, int low, int high) { return int(rounded(x, float(low), float(high))); }

// d = amax / 127; q = round(x / d), half away from zero.
void encode_q8_0(const float* x, Bytes b) {
  float largest = 0;
  for (int i = 0; i < 32; i++) largest = std::max(largest, std::abs(x[i]));
  const float d = largest / 127, inverse = reciprocal(d);
  put_half(b, d);
  for (int i = 0; i < 32; i++) b[2 + i] = uint8_t(int8_t(std::round(x[i] * inverse)));
}

// d = the value of largest size / -8, so that it becomes -8 exactly; q = x / d + 8. In double: as ggml has it where the
// machine fuses product and sum, and gguf-py everywhere.
void encode_q4_0(const float* x, Bytes b) {
  float largest = 0;
  for (int i = 0; i < 32; i++) {
    if (std::abs(x[i]) > std::abs(largest)) largest = x[i];
  }
  const float d = largest / -8, inverse = reciprocal(d);
  put_half(b, d);
  const auto code = [&](float value) { return std::min(15, int(double(value) * double(inverse) + 8.5)); };
  for (int i = 0; i < 16; i++) b[2 + i] = uint8_t(code(x[i]) | code(x[i + 16]) << 4);
}

// Scale and minimum of x ~ scale q - min, q = 0 … 15, min >= 0.
struct Affine {
  float scale = 0, min = 0;
};

// sum of w (x - (scale q - min))^2 with the best q for each x
float loss_of(const float* x, const float* w, int n, Affine a) {
  const float inverse = reciprocal(a.scale);
  float loss = 0;
  for (int i = 0; i < n; i++) {
    const float off = a.scale * rounded((x[i] + a.min) * inverse, 0, 15) - a.min - x[i];
    loss += w[i] * off * off;
  }
  return loss;
}

// The weighted least squares of x = scale q - min for given q; min is kept >= 0.
Affine fit(const float* x, const float* w, const int* q, int n) {
  float sw = 0, sq = 0, sqq = 0, sx = 0, sqx = 0;
  for (int i = 0; i < n; i++) {
    const float l = float(q[i]);
    sw += w[i];
    sq += w[i] * l;
    sqq += w[i] * l * l;
    sx += w[i] * x[i];
    sqx += w[i] * l * x[i];
  }
  const float determinant = sw * sqq - sq * sq;
  Affine a;
  if (determinant > 0) a = {(sw * sqx - sq * sx) / determinant, (sq * sqx - sqq * sx) / determinant};
  if (a.min < 0 || determinant <= 0) a = {sqq > 0 ? sqx / sqq : 0, 0};
  a.scale = std::max(a.scale, 0.0f);
  return a;
}

// Tries steps around (max - min) / 15, each followed by a fit, and keeps the one of least loss.
Affine search_affine(const float* x, const float* w, int n) {
  const auto [low, high] = std::minmax_element(x, x + n);
  const float min = std::max(-*low, 0.0f), range = *high + min;
  if (range < 1e-30f) return {0, min};
  Affine best = {range / 15, min};
  float least = loss_of(x, w, n, best);
  for (int step = -10; step <= 10; step++) {
    const float inverse = (15 + 0.1f * float(step)) / range;
    int q[32];
    for (int i = 0; i < n; i++) q[i] = rounded_int((x[i] + min) * inverse, 0, 15);
    const Affine a = fit(x, w, q, n);
    const float loss = loss_of(x, w, n, a);
    if (loss < least) {
      least = loss;
      best = a;
    }
  }
  return best;
}

// Six bits each for eight pairs: the inverse of six_bits in block_format.cpp.
void pack_six_bits(const int* scales, const int* mins, Bytes b) {
  for (int s = 0; s < 4; s++) {
    b[s] = uint8_t(scales[s] | scales[s + 4] >> 4 << 6);
    b[s + 4] = uint8_t(mins[s] | mins[s + 4] >> 4 << 6);
    b[s + 8] = uint8_t((scales[s + 4] & 15) | (mins[s + 4] & 15) << 4);
  }
}

// How much an element's error counts: more the larger it is, and none counts nothing (ggml's weights).
void weigh(const float* x, int n, float* w) {
  float sum = 0;
  for (int i = 0; i < n; i++) sum += x[i] * x[i];
  const float mean = std::sqrt(sum / float(n));
  for (int i = 0; i < n; i++) w[i] = mean + std::abs(x[i]);
}

// Each sub-block of 32 looks for its scale and minimum; these are rounded to six bits, together with their neighbours,
// whichever loses least.
void encode_q4_k(const float* x, Bytes b) {
  float w[256];
  Affine wanted[8];
  float top_scale = 0, top_min = 0;
  for (int s = 0; s < 8; s++) {
    weigh(x + 32 * s, 32, w + 32 * s);
    wanted[s] = search_affine(x + 32 * s, w + 32 * s, 32);
    top_scale = std::max(top_scale, wanted[s].scale);
    top_min = std::max(top_min, wanted[s].min);
  }
  const float d = put_half(b, top_scale / 63), dmin = put_half(b + 2, top_min / 63);
  int scales[8], mins[8];
  for (int s = 0; s < 8; s++) {
    const int scale = d > 0 ? rounded_int(wanted[s].scale / d, 0, 63) : 0;
    const int min = dmin > 0 ? rounded_int(wanted[s].min / dmin, 0, 63) : 0;
    float least = INFINITY;
    for (int i = std::max(scale - 1, 0); i <= std::min(scale + 1, 63); i++) {
      for (int j = std::max(min - 1, 0); j <= std::min(min + 1, 63); j++) {
        const float loss = loss_of(x + 32 * s, w + 32 * s, 32, {d * float(i), dmin * float(j)});
        if (loss >= least) continue;
        least = loss;
        scales[s] = i;
        mins[s] = j;
      }
    }
  }
  pack_six_bits(scales, mins, b + 4);
  for (int s = 0; s < 8; s++) {
    const float scale = d * float(scales[s]), min = dmin * float(mins[s]), inverse = reciprocal(scale);
    for (int i = 0; i < 32; i++) {
      const int q = rounded_int((x[32 * s + i] + min) * inverse, 0, 15);
      uint8_t& byte = b[16 + s / 2 * 32 + i];
      byte = uint8_t(s % 2 ? byte | q << 4 : q);
    }
  }
}

float loss_of(const float* x, int n, float scale) {
  const float inverse = reciprocal(scale);
  float loss = 0;
  for (int i = 0; i < n; i++) {
    const float off = scale * rounded(x[i] * inverse, -32, 31) - x[i];
    loss += x[i] * x[i] * off * off;
  }
  return loss;
}

// x ~ scale q, q = -32 … 31: steps around the largest / -32, each followed by the least squares
// scale = sum w x q / sum w q^2, w = x^2.
float search_scale(const float* x, int n) {
  float largest = 0;
  for (int i = 0; i < n; i++) {
    if (std::abs(x[i]) > std::abs(largest)) largest = x[i];
  }
  if (std::abs(largest) < 1e-30f) return 0;
  float best = largest / -32, least = loss_of(x, n, best);
  for (int step = -9; step <= 9; step++) {
    const float inverse = -(32 + 0.1f * float(step)) / largest;
    float above = 0, below = 0;
    for (int i = 0; i < n; i++) {
      const float q = rounded(x[i] * inverse, -32, 31), w = x[i] * x[i];
      above += w * x[i] * q;
      below += w * q * q;
    }
    const float scale = below > 0 ? above / below : 0, loss = loss_of(x, n, scale);
    if (loss < least) {
      least = loss;
      best = scale;
    }
  }
  return best;
}

void encode_q6_k(const float* x, Bytes b) {
  float wanted[16], top = 0;
  for (int s = 0; s < 16; s++) {
    wanted[s] = search_scale(x + 16 * s, 16);
    if (std::abs(wanted[s]) > std::abs(top)) top = wanted[s];
  }
  const float d = put_half(b + 208, top / -128), inverse = reciprocal(d);
  std::memset(b, 0, 192);
  for (int s = 0; s < 16; s++) {
    const int nearest = rounded_int(wanted[s] * inverse, -128, 127);
    int best = nearest;
    float least = INFINITY;
    for (int i = std::max(nearest - 1, -128); i <= std::min(nearest + 1, 127); i++) {
      const float loss = loss_of(x + 16 * s, 16, d * float(i));
      if (loss < least) {
        least = loss;
        best = i;
      }
    }
    b[192 + s] = uint8_t(int8_t(best));
    const float scale = d * float(best), step = reciprocal(scale);
    for (int i = 16 * s; i < 16 * s + 16; i++) {
      const int q = rounded_int(x[i] * step, -32, 31) + 32, half = i / 128, r = i % 128;
      b[64 * half + r % 64] |= uint8_t(r < 64 ? q & 15 : (q & 15) << 4);
      b[128 + 32 * half + r % 32] |= uint8_t(q >> 4 << (r / 32 * 2));
    }
  }
}

using Encode = void (*)(const float*, Bytes);

Encode encoder(BlockFormat format) {
  switch (format) {
    case BlockFormat::kQ8_0: return encode_q8_0;
    case BlockFormat::kQ4_0: return encode_q4_0;
    case BlockFormat::kQ4K: return encode_q4_k;
    case BlockFormat::kQ6K: return encode_q6_k;
    default: return nullptr;
  }
}

}  // namespace

bool can_quantize(BlockFormat format) { return encoder(format) != nullptr; }

void quantize(BlockFormat format, const float* values, int64_t count, std::byte* blocks) {
  const Encode encode = encoder(format);
  require(encode != nullptr, ErrorKind::kInternal, "no numbers are written as {}", name_of(format));
  for (int64_t i = 0; i < count; i++) {
    require(std::abs(values[i]) <= kLargestHalf, ErrorKind::kNumeric,
            "{}: expected finite numbers of at most {} in size, got {} at {}", name_of(format), kLargestHalf, values[i],
            i);
  }
  const int64_t elements = block_elements(format), bytes = block_bytes(format);
  for (int64_t i = 0; i < count / elements; i++)
    encode(values + i * elements, reinterpret_cast<Bytes>(blocks + i * bytes));
}

}  // namespace tenth
