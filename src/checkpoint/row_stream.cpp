#include "checkpoint/row_stream.h"

#include <cmath>
#include <cstring>

#include "base/interrupt.h"
#include "base/pages.h"
#include "base/threads.h"
#include "checkpoint/safetensors_text.h"
#include "tensor/half.h"

namespace tenth {
namespace {

constexpr int64_t kChunk = 1 << 20;  // elements at once

void encode(const float* from, int64_t count, const GgufTensorType& to, std::byte* out) {
  if (to.block) return quantize(*to.block, from, count, out);
  if (to.name == "F32") {
    std::memcpy(out, from, size_t(count) * 4);
  } else if (to.name == "BF16") {
    for (int64_t i = 0; i < count; i++) {
      const bf16 value(from[i]);
      std::memcpy(out + 2 * i, &value, 2);
    }
  } else {
    require(to.name == "F16", ErrorKind::kInternal, "rows cannot be written as {}", to.name);
    for (int64_t i = 0; i < count; i++) {
      const uint16_t value = float_to_half(from[i]);
      require(std::isfinite(half_to_float(value)), ErrorKind::kNumeric,
              "F16: expected finite numbers of at most 65504 in size, got {}", from[i]);
      std::memcpy(out + 2 * i, &value, 2);
    }
  }
}

}  // namespace

RowReader rows_of(const SourceTensor& tensor) {
  return {tensor.rows(), tensor.columns(),
          [&tensor](int64_t begin, int64_t end, float* values) { tensor.read_rows(begin, end, values); }};
}

void check_interrupt() { require(!interrupted(), ErrorKind::kInput, "interrupted: nothing was written"); }

void stream_rows(const RowReader& reader, const GgufTensorType& to, const std::string& name, const ByteSink& sink) {
  const int64_t columns = reader.columns, most = std::max(int64_t(1), kChunk / std::max(int64_t(1), columns));
  const size_t row = size_t(columns / to.elements * to.bytes);
  std::vector<float> values(size_t(std::min(most, reader.rows) * columns));
  std::vector<std::byte> bytes(size_t(std::min(most, reader.rows)) * row);
  for (int64_t begin = 0; begin < reader.rows; begin += most) {
    check_interrupt();
    const int64_t count = std::min(most, reader.rows - begin);
    try {
      parallel_for(count, std::max(int64_t(1), (1 << 14) / std::max(int64_t(1), columns)),
                   [&](int64_t first, int64_t last) {
                     float* part = values.data() + first * columns;
                     reader.read(begin + first, begin + last, part);
                     encode(part, (last - first) * columns, to, bytes.data() + size_t(first) * row);
                   });
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kNumeric) throw;
      fail(ErrorKind::kNumeric, "tensor {}: {}", name_text(name), error.what());
    }
    sink(std::span(bytes).first(size_t(count) * row));
  }
}

}  // namespace tenth
