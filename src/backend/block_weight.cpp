#include "backend/block_weight.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace tenth {
namespace {

using Form = BlockWeight::Form;
constexpr int64_t kInputs = BlockWeight::kInputs, kOutputs = BlockWeight::kOutputs;

// 32 inputs of one output.
struct Codes {
  uint8_t code[kInputs];
  uint16_t scale = 0, least = 0;  // halves
};

uint16_t half_at(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return bits;
}

void nibbles(const std::byte* bytes, Codes& to) {  // of Q4_0, Q4_1: low halves first
  for (int64_t j = 0; j < kInputs / 2; j++) {
    to.code[j] = uint8_t(bytes[j]) & 15;
    to.code[j + kInputs / 2] = uint8_t(bytes[j]) >> 4;
  }
}

// Sub-block s of a Q4_K block of 256: w = (d scale_s) code - dmin min_s (reference: ggml-quants.c, get_scale_min_k4).
void q4k(const std::byte* block, int64_t s, Codes& to) {
  const auto at = [&](int64_t i) { return uint8_t(block[4 + i]); };
  const int scale = s < 4 ? at(s) & 63 : (at(s + 4) & 15) | (at(s - 4) >> 6 << 4);
  const int least = s < 4 ? at(s + 4) & 63 : at(s + 4) >> 4 | (at(s) >> 6 << 4);
  const std::byte* codes = block + 16 + s / 2 * 32;
  for (int64_t j = 0; j < kInputs; j++) to.code[j] = s % 2 ? uint8_t(codes[j]) >> 4 : uint8_t(codes[j]) & 15;
  to.scale = float_to_half(half_to_float(half_at(block)) * float(scale));
  to.least = float_to_half(-half_to_float(half_at(block + 2)) * float(least));
}

void from_floats(const float* values, Codes& to) {
  float amax = 0;
  for (int64_t j = 0; j < kInputs; j++) amax = std::max(amax, std::fabs(values[j]));
  to.scale = float_to_half(amax / 127);
  const float scale = half_to_float(to.scale), inverse = scale > 0 ? 1 / scale : 0;
  for (int64_t j = 0; j < kInputs; j++) {
    const float code = std::nearbyint(values[j] * inverse);
    to.code[j] = uint8_t(std::isfinite(code) ? int(std::min(127.0f, std::max(-127.0f, code))) + 128 : 128);
  }
}

// Block b of a row, whose floats are `values` where the form is not the format's own.
Codes codes_of(BlockFormat format, Form form, const std::byte* row, const float* values, int64_t b) {
  Codes to{};
  if (form != form_of(format) || (form == Form::kInt8 && format != BlockFormat::kQ8_0)) {
    from_floats(values + b * kInputs, to);
    return to;
  }
  const int64_t per_block = block_elements(format) / kInputs;
  const std::byte* block = row + b / per_block * block_bytes(format);
  if (format == BlockFormat::kQ4K) {
    q4k(block, b % per_block, to);
    return to;
  }
  to.scale = half_at(block);
  if (format == BlockFormat::kQ8_0) {
    for (int64_t j = 0; j < kInputs; j++) to.code[j] = uint8_t(int(int8_t(block[2 + j])) + 128);
  } else if (format == BlockFormat::kQ4_0) {
    nibbles(block + 2, to);
  } else {
    to.least = half_at(block + 2);
    nibbles(block + 4, to);
  }
  return to;
}

void put(const BlockWeight& w, std::byte* panel, int64_t b, int64_t o, const Codes& from) {
  uint8_t* codes = reinterpret_cast<uint8_t*>(panel + b * w.code_bytes()) + 4 * o;
  for (int64_t i = 0; i < kInputs; i++) {
    if (w.form == Form::kInt8) {
      codes[i / 4 * 4 * kOutputs + i % 4] = from.code[i];
    } else if (i < kInputs / 2) {
      codes[i / 4 * 4 * kOutputs + i % 4] = uint8_t(from.code[i] | from.code[i + kInputs / 2] << 4);
    }
  }
  std::memcpy(panel + w.scale_offset() + (b * kOutputs + o) * 2, &from.scale, 2);
  if (w.form == Form::kInt4Min) std::memcpy(panel + w.least_offset() + (b * kOutputs + o) * 2, &from.least, 2);
}

std::byte* panel_of(const BlockWeight& w, int64_t group, int64_t panel) {
  return reinterpret_cast<std::byte*>(w.data.data<uint8_t>()) + (group * w.panels() + panel) * w.panel_bytes();
}

}  // namespace

Form form_of(BlockFormat format) {
  switch (format) {
    case BlockFormat::kQ4_0: return Form::kInt4;
    case BlockFormat::kQ4_1:
    case BlockFormat::kQ4K: return Form::kInt4Min;
    default: return Form::kInt8;
  }
}

BlockWeight make_block_weight(Device& device, Form form, int64_t groups, int64_t outputs, int64_t inputs) {
  require(inputs % kInputs == 0, ErrorKind::kUnsupported,
          "weights of few bits: rows of {} inputs are not whole blocks of {}", inputs, kInputs);
  BlockWeight w = {form, groups, outputs, inputs, {}};
  w.data = Tensor::make(device, DType::kU8, {groups, w.panels(), w.panel_bytes()});
  return w;
}

void pack_rows(const BlockWeight& w, int64_t group, int64_t first, int64_t count, BlockFormat format,
               std::span<const std::byte> rows) {
  const int64_t bytes = row_bytes(format, w.inputs);
  require(w.inputs % block_elements(format) == 0 && int64_t(rows.size()) == count * bytes && first % kOutputs == 0 &&
              (count % kOutputs == 0 || first + count == w.outputs) &&
              (w.form == Form::kInt8 || w.form == form_of(format)),
          ErrorKind::kInternal, "pack_rows: {} rows of {} from {} on", count, name_of(format), first);
  const bool as_floats = w.form != form_of(format) || (w.form == Form::kInt8 && format != BlockFormat::kQ8_0);
  parallel_for((count + kOutputs - 1) / kOutputs, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> values(size_t(as_floats ? w.inputs : 0));
    for (int64_t p = begin; p < end; p++) {
      std::byte* panel = panel_of(w, group, first / kOutputs + p);
      for (int64_t o = 0; o < kOutputs; o++) {
        const int64_t r = p * kOutputs + o;
        const std::byte* row = rows.data() + r * bytes;
        if (r < count && as_floats) dequantize(format, row, w.inputs, values.data());
        for (int64_t b = 0; b < w.blocks(); b++)
          put(w, panel, b, o, r < count ? codes_of(format, w.form, row, values.data(), b) : Codes{});
      }
    }
  });
}

void unpack_row(const BlockWeight& w, int64_t group, int64_t output, float* values) {
  const std::byte* panel = panel_of(w, group, output / kOutputs);
  const int64_t o = output % kOutputs;
  for (int64_t b = 0; b < w.blocks(); b++) {
    const uint8_t* codes = reinterpret_cast<const uint8_t*>(panel + b * w.code_bytes()) + 4 * o;
    const float scale = half_to_float(half_at(panel + w.scale_offset() + (b * kOutputs + o) * 2));
    const bool with_least = w.form == Form::kInt4Min;
    const float least = with_least ? half_to_float(half_at(panel + w.least_offset() + (b * kOutputs + o) * 2)) : 0;
    for (int64_t i = 0; i < kInputs; i++) {
      const int64_t at = w.form == Form::kInt8 ? i : i % (kInputs / 2);
      const uint8_t byte = codes[at / 4 * 4 * kOutputs + at % 4];
      const int code = w.form == Form::kInt8 ? byte - 128 : i < kInputs / 2 ? byte & 15 : byte >> 4;
      values[b * kInputs + i] = scale * float(w.form == Form::kInt4 ? code - 8 : code) + least;
    }
  }
}

}  // namespace tenth
