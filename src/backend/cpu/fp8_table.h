// FP8 e4m3 kernels of one instruction set (fp8_kernels.h), each for n elements next to each other, with a scale for
// each of them where there are scales. T is float, or uint16_t for bf16. q are the codes of tensor/fp8.h.
#pragma once
#include <cstdint>

namespace tenth::cpu {

template <class T>
struct Fp8KernelsOf {
  float (*largest)(float amax, const T* x, int64_t n);  // of amax and all |x|; a NaN does not count
  void (*raise)(float* amax, const T* x, int64_t n);    // amax = max(amax, |x|), each; a NaN leaves it
  void (*quantize)(uint8_t* q, const T* x, const float* scales, int64_t n);    // q = x / scale
  void (*dequantize)(T* y, const uint8_t* q, const float* scales, int64_t n);  // y = q scale
};

struct Fp8Kernels {
  Fp8KernelsOf<float> f32;
  Fp8KernelsOf<uint16_t> bf16;
  // Both in one, of f32 (0) and bf16 (1): [type of y][type of x].
  void (*round[2][2])(void* y, const void* x, const float* scales, int64_t n);
};

}  // namespace tenth::cpu
