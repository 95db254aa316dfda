// Products with weights of 8 or 4 bits, of one instruction set. The layout of the weights: backend/block_weight.h.
#pragma once
#include <cstdint>

namespace tenth::cpu {

// Rows of activations in 8 bits, blocks of 32: x = scale code or, in two steps, the sum of two such.
struct BlockRows {
  int8_t* codes;  // (rows, steps, 32 blocks)
  float* scales;  // (rows, steps, blocks)
  int32_t* sums;  // (rows, steps, blocks), of the codes
  int64_t blocks, steps;
};

// What lies in the panels: BlockWeight::Form.
enum class BlockForm { kInt8, kInt4, kInt4Min };

// y (rows, outputs) = x w^T + bias, the work of one thread.
//
// Element (i, o) is one chain of sums over the blocks, from the first upwards, step by step; within a block the sum is
// of whole numbers. Neither rows nor how a caller cuts the outputs changes it.
struct BlockTask {
  BlockForm form = BlockForm::kInt8;
  int64_t rows = 0, outputs = 0;  // outputs: from the first panel on
  BlockRows x = {};
  const uint8_t* panels = nullptr;
  int64_t panel_bytes = 0, scale_offset = 0, least_offset = 0;
  void* y = nullptr;
  int64_t y_stride = 0;         // in elements
  bool y_f32 = false;           // else bf16
  const float* bias = nullptr;  // or null
};

struct BlockKernels {
  // Codes, scales and sums of rows [begin, end) of x (stride in elements) beside each other from rows.codes on.
  void (*quantize_f32)(const BlockRows& rows, const float* x, int64_t x_stride, int64_t begin, int64_t end);
  void (*quantize_bf16)(const BlockRows& rows, const uint16_t* x, int64_t x_stride, int64_t begin, int64_t end);
  void (*run)(const BlockTask& task);
};

}  // namespace tenth::cpu
