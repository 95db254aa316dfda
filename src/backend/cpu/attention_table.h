// Attention kernels of one instruction set (attention_kernels.h). T is float, or uint16_t for bf16.
#pragma once
#include <cstdint>

namespace tenth::cpu {

// Keys are taken in blocks of this many, counted from the start of the sequence.
constexpr int64_t kAttentionKeys = 64;

// The keys and values of one sequence and one key head, from its first token on. Strides in elements.
template <class T>
struct AttentionSide {
  const T* k;       // rows of dk
  const T* k_rope;  // rows of dr, shared by all heads; null where dr = 0
  const T* v;       // rows of dv
  int64_t k_row, k_rope_row, v_row;
  int64_t dk, dr, dv;
  float scale;
};

// Queries of neighbouring places, of the heads that share the keys. Query i sees the keys 0 … first + i.
template <class T>
struct AttendTask {
  AttentionSide<T> side;
  const T* q;  // rows of dk + dr
  T* out;      // rows of dv
  float* lse;  // null: not wanted; heads next to each other
  int64_t q_row, q_head, out_row, out_head, lse_row;
  int64_t first, queries, heads;
};

// A whole sequence, all query heads of one key head.
template <class T>
struct AttendGradTask {
  AttentionSide<T> side;
  const T *q, *dout, *out;
  const float* lse;
  T *dq, *dk, *dv;
  float* dk_rope;  // (length, dr) of this key head alone, contiguous; null where dr = 0
  int64_t q_row, q_head, dout_row, dout_head, out_row, out_head, lse_row, dq_row, dq_head, dk_row, dv_row;
  int64_t length, heads;
};

template <class T>
struct AttentionKernelsOf {
  void (*attend)(const AttendTask<T>& task, float* scratch);
  void (*attend_grad)(const AttendGradTask<T>& task, float* scratch);
};

struct AttentionKernels {
  AttentionKernelsOf<float> f32;
  AttentionKernelsOf<uint16_t> bf16;
};

}  // namespace tenth::cpu
