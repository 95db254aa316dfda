// Weights of 8 or 4 bits as products read them: 32 neighbouring inputs of an output share a scale. They are made once,
// from the blocks of a file (tensor/block_format.h); the floats that they stand for are never in memory.
//
// Layout, the same on every backend that reads host memory: outputs in panels of 16, the last one filled up with
// zeros; a panel is, for each block of 32 inputs, its codes, then for each block its 16 scales (and, kInt4Min, its 16
// smallest values), halves.
//   kInt8: 8 x 16 x 4 bytes; byte (g, o, j) is the code of input 4 g + j of output o.
//   kInt4, kInt4Min: 4 x 16 x 4 bytes; byte (g, o, j) holds input 4 g + j in its low half, 16 + 4 g + j in its high
//   half.
// So a vector of 32-bit sums, one an output, takes four inputs with one dot product of bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/block_format.h"
#include "tensor/tensor.h"

namespace tenth {

struct BlockWeight {
  enum class Form : uint8_t {
    kInt8,     // w = scale (code - 128)
    kInt4,     // w = scale (code - 8)
    kInt4Min,  // w = scale code + least
  };
  static constexpr int64_t kInputs = 32, kOutputs = 16;

  Form form = Form::kInt8;
  int64_t groups = 0, outputs = 0, inputs = 0;  // groups: the experts of a layer, else 1
  Tensor data;                                  // u8 (groups, panels, bytes of a panel)
  bool fine = false;                            // what rounding activations left is rounded too, and multiplied

  bool defined() const { return data.defined(); }
  explicit operator bool() const { return defined(); }
  int64_t blocks() const { return inputs / kInputs; }
  int64_t panels() const { return (outputs + kOutputs - 1) / kOutputs; }
  int64_t code_bytes() const { return (form == Form::kInt8 ? 2 : 1) * kInputs * kOutputs / 2; }  // of a block
  int64_t scale_offset() const { return blocks() * code_bytes(); }
  int64_t least_offset() const { return scale_offset() + blocks() * kOutputs * 2; }
  // Whole cache lines.
  int64_t panel_bytes() const {
    const int64_t halves = form == Form::kInt4Min ? 2 : 1;
    return (scale_offset() + halves * blocks() * kOutputs * 2 + 63) / 64 * 64;
  }
  int64_t bytes() const { return groups * panels() * panel_bytes(); }
};

// The form that holds a format with the fewest bits: Q4_0, Q4_1 and Q4_K (whose sub-blocks' scales are rounded to
// halves) and Q8_0 as they are, others rounded to 8 bits, as Q8_0 would.
BlockWeight::Form form_of(BlockFormat format);

// Codes, scales: undefined until pack_rows has brought all rows. inputs: a multiple of 32. Throws kUnsupported.
BlockWeight make_block_weight(Device& device, BlockWeight::Form form, int64_t groups, int64_t outputs, int64_t inputs);

// Outputs [first, first + count) of a group, from rows of blocks end to end; first is a multiple of 16, and count too,
// but for the last rows. w.form must be kInt8 or form_of(format).
void pack_rows(const BlockWeight& w, int64_t group, int64_t first, int64_t count, BlockFormat format,
               std::span<const std::byte> rows);

// One row of the weight as floats.
void unpack_row(const BlockWeight& w, int64_t group, int64_t output, float* values);

}  // namespace tenth
