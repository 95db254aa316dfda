// From blocks to floats. Each decoder reads one block, whose fields stand in the order of its comment; h: a half, u8
// and i8: bytes. Products are formed in the order of gguf-py's quants.py, so that results are equal to the bit.
#include "tensor/block_format.h"

#include <bit>
#include <cstring>

#include "tensor/half.h"

namespace tenth {
namespace {

using Bytes = const uint8_t*;

float half_at(Bytes p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return half_to_float(bits);
}
int low(uint8_t byte) { return byte & 15; }
int high(uint8_t byte) { return byte >> 4; }

// h d, i8 q[32]: d q
void decode_q8_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 32; i++) y[i] = d * float(int8_t(b[2 + i]));
}

// h d, u8 q[16]: d (q - 8). In formats of 32, low nibbles are the elements 0 … 15, high ones 16 … 31.
void decode_q4_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(low(b[2 + i]) - 8);
    y[i + 16] = d * float(high(b[2 + i]) - 8);
  }
}

// h d, h m, u8 q[16]: d q + m
void decode_q4_1(Bytes b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(low(b[4 + i])) + m;
    y[i + 16] = d * float(high(b[4 + i])) + m;
  }
}

// The fifth bits of 32 elements.
int fifth(Bytes bits, int i) { return (bits[i / 8] >> (i % 8) & 1) << 4; }

// h d, u8 fifth[4], u8 q[16]: d (q - 16)
void decode_q5_0(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float((low(b[6 + i]) | fifth(b + 2, i)) - 16);
    y[i + 16] = d * float((high(b[6 + i]) | fifth(b + 2, i + 16)) - 16);
  }
}

// h d, h m, u8 fifth[4], u8 q[16]: d q + m
void decode_q5_1(Bytes b, float* y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(low(b[8 + i]) | fifth(b + 4, i)) + m;
    y[i + 16] = d * float(high(b[8 + i]) | fifth(b + 4, i + 16)) + m;
  }
}

// u8 scales[16] (low: scale, high: minimum), u8 q[64], h d, h dmin: (d sc) q - dmin mn, sc and mn of 16 elements. Two
// bits an element: 32 bytes hold 128, 32 at each shift.
void decode_q2_k(Bytes b, float* y) {
  const float d = half_at(b + 80), dmin = half_at(b + 82);
  for (int i = 0; i < 256; i++) {
    const int q = b[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const uint8_t scale = b[i / 16];
    y[i] = d * float(low(scale)) * float(q) - dmin * float(high(scale));
  }
}

// u8 third[32] (bit i / 32 of byte i % 32), u8 q[64] as in Q2_K, u8 scales[12], h d: (d (sc - 32)) (q - 4 unless the
// third bit is set). Scales of 16 elements: four low bits in bytes 0 … 7 (the first eight in low nibbles), two high
// bits in bytes 8 … 11.
void decode_q3_k(Bytes b, float* y) {
  const float d = half_at(b + 108);
  const Bytes scales = b + 96;
  for (int s = 0; s < 16; s++) {
    const int four = s < 8 ? low(scales[s]) : high(scales[s - 8]), two = scales[8 + s % 4] >> (s / 4 * 2) & 3;
    const float scale = d * float((four | two << 4) - 32);
    for (int i = 16 * s; i < 16 * s + 16; i++) {
      const int q = b[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
      y[i] = scale * float(q - (b[i % 32] >> (i / 32) & 1 ? 0 : 4));
    }
  }
}

struct ScaleAndMin {
  int scale, min;
};

// Eight pairs of six bits in twelve bytes: four pairs in the low six bits of bytes 0 … 3 and 4 … 7; of the other four,
// nibbles in bytes 8 … 11 and the two bits that are left above the first.
ScaleAndMin six_bits(Bytes b, int s) {
  if (s < 4) return {b[s] & 63, b[s + 4] & 63};
  return {low(b[s + 4]) | b[s - 4] >> 6 << 4, high(b[s + 4]) | b[s] >> 6 << 4};
}

// h d, h dmin, u8 scales[12], u8 q[128]: (d sc) q - dmin mn. 32 bytes hold 64 elements: the low nibbles the first 32.
void decode_q4_k(Bytes b, float* y) {
  const float d = half_at(b), dmin = half_at(b + 2);
  for (int s = 0; s < 8; s++) {
    const ScaleAndMin k = six_bits(b + 4, s);
    const float scale = d * float(k.scale), min = dmin * float(k.min);
    const Bytes q = b + 16 + s / 2 * 32;
    for (int i = 0; i < 32; i++) y[32 * s + i] = scale * float(s % 2 ? high(q[i]) : low(q[i])) - min;
  }
}

// h d, h dmin, u8 scales[12], u8 fifth[32] (bit s of byte i), u8 q[128]: as Q4_K
void decode_q5_k(Bytes b, float* y) {
  const float d = half_at(b), dmin = half_at(b + 2);
  for (int s = 0; s < 8; s++) {
    const ScaleAndMin k = six_bits(b + 4, s);
    const float scale = d * float(k.scale), min = dmin * float(k.min);
    const Bytes q = b + 48 + s / 2 * 32;
    for (int i = 0; i < 32; i++) {
      const int four = s % 2 ? high(q[i]) : low(q[i]);
      y[32 * s + i] = scale * float(four | (b[16 + i] >> s & 1) << 4) - min;
    }
  }
}

// u8 low[128], u8 high[64], i8 scales[16], h d: (d sc) (q - 32), sc of 16 elements. Of 128 elements, 64 bytes hold the
// low four bits (low nibbles first), 32 bytes the high two.
void decode_q6_k(Bytes b, float* y) {
  const float d = half_at(b + 208);
  for (int i = 0; i < 256; i++) {
    const int half = i / 128, r = i % 128;
    const uint8_t nibbles = b[64 * half + r % 64];
    const int q = (r < 64 ? low(nibbles) : high(nibbles)) | (b[128 + 32 * half + r % 32] >> (r / 32 * 2) & 3) << 4;
    y[i] = d * float(int8_t(b[192 + i / 16])) * float(q - 32);
  }
}

// A non-linear table: closer steps around 0.
constexpr int8_t kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// h d, u8 q[16]: d T[q]
void decode_iq4_nl(Bytes b, float* y) {
  const float d = half_at(b);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(kIq4[low(b[2 + i])]);
    y[i + 16] = d * float(kIq4[high(b[2 + i])]);
  }
}

// h d, u16 scales' high two bits, u8 low nibbles[4], u8 q[128]: (d (sc - 32)) T[q], sc of 32 elements
void decode_iq4_xs(Bytes b, float* y) {
  const float d = half_at(b);
  const int high_bits = b[2] | b[3] << 8;
  for (int s = 0; s < 8; s++) {
    const int four = b[4 + s / 2] >> (s % 2 * 4) & 15, two = high_bits >> (2 * s) & 3;
    const float scale = d * float((four | two << 4) - 32);
    const Bytes q = b + 8 + 16 * s;
    for (int i = 0; i < 16; i++) {
      y[32 * s + i] = scale * float(kIq4[low(q[i])]);
      y[32 * s + i + 16] = scale * float(kIq4[high(q[i])]);
    }
  }
}

// u8 e, u8 q[16]: 2^(e - 128) T[q], T: twice the e2m1 numbers. OCP's NaN, e = 255, is 2^127 here, as in llama.cpp.
void decode_mxfp4(Bytes b, float* y) {
  constexpr int8_t kTwiceE2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  const uint32_t e = b[0];
  const float d = std::bit_cast<float>(e < 2 ? 0x200000u << e : (e - 1) << 23);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(kTwiceE2m1[low(b[1 + i])]);
    y[i + 16] = d * float(kTwiceE2m1[high(b[1 + i])]);
  }
}

struct Format {
  std::string_view name;
  int elements, bytes;
  void (*decode)(Bytes, float*);
};

constexpr Format kFormats[kBlockFormats] = {
    {"Q8_0", 32, 34, decode_q8_0},   {"Q4_0", 32, 18, decode_q4_0},     {"Q4_1", 32, 20, decode_q4_1},
    {"Q5_0", 32, 22, decode_q5_0},   {"Q5_1", 32, 24, decode_q5_1},     {"Q2_K", 256, 84, decode_q2_k},
    {"Q3_K", 256, 110, decode_q3_k}, {"Q4_K", 256, 144, decode_q4_k},   {"Q5_K", 256, 176, decode_q5_k},
    {"Q6_K", 256, 210, decode_q6_k}, {"IQ4_NL", 32, 18, decode_iq4_nl}, {"IQ4_XS", 256, 136, decode_iq4_xs},
    {"MXFP4", 32, 17, decode_mxfp4},
};

const Format& of(BlockFormat format) { return kFormats[size_t(format)]; }

}  // namespace

int64_t block_elements(BlockFormat format) { return of(format).elements; }
int64_t block_bytes(BlockFormat format) { return of(format).bytes; }
std::string_view name_of(BlockFormat format) { return of(format).name; }

void dequantize(BlockFormat format, const std::byte* blocks, int64_t count, float* values) {
  const Format& f = of(format);
  Bytes block = reinterpret_cast<Bytes>(blocks);
  for (int64_t i = 0; i < count; i += f.elements, block += f.bytes) f.decode(block, values + i);
}

}  // namespace tenth
