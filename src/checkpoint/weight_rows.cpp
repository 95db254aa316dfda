// Numbers of a SourceTensor: rows of floats out of whatever encoding they lie in.
#include <bit>
#include <cstring>

#include "base/pages.h"
#include "base/threads.h"
#include "checkpoint/file_types.h"
#include "checkpoint/safetensors_text.h"
#include "checkpoint/weight_source.h"

namespace tenth {
namespace {

constexpr int64_t kSide = Fp8Args::kSide;
constexpr int64_t kChunk = 1 << 20;  // elements on their way into a tensor: bounds what loading holds

// count elements from the one with this index on; in whole blocks.
void read_elements(std::string_view encoding, std::optional<BlockFormat> block, std::span<const std::byte> data,
                   int64_t first, int64_t count, float* values) {
  if (block) {
    dequantize(*block, data.data() + row_bytes(*block, first), count, values);
  } else {
    const size_t size = size_t(find_file_type(encoding)->bits) / 8;
    convert_elements(encoding, data.data() + size_t(first) * size, DType::kF32, reinterpret_cast<std::byte*>(values),
                     count);
  }
}

float scale_at(const StoredTensor& scales, int64_t index) {
  if (scales.dtype == "F8_E8M0") {
    const auto e = uint32_t(scales.bytes[size_t(index)]);  // 2^(e - 127), 255: NaN
    return std::bit_cast<float>(e == 255 ? 0x7fc00000u : e == 0 ? 0x00400000u : e << 23);
  }
  float value;
  read_elements(scales.dtype, {}, scales.bytes, index, 1, &value);
  return value;
}

void read_fp8_row(const SourceTensor& t, int64_t row, float* values) {
  const int64_t columns = t.columns(), across = (columns + kSide - 1) / kSide;
  const std::byte* bytes = t.data.data() + row * columns;
  for (int64_t j = 0; j < across; j++) {
    const float scale = scale_at(*t.scales, row / kSide * across + j);
    for (int64_t c = j * kSide; c < std::min(columns, (j + 1) * kSide); c++) {
      fp8_e4m3 value;
      value.bits = uint8_t(bytes[c]);
      values[c] = float(value) * scale;
    }
  }
}

void read_latent_expansion(const SourceTensor& t, int64_t begin, int64_t end, float* values) {
  const auto& [keys, rows] = t.latent_expansion;
  const int64_t latent = keys->shape[1], nope = keys->shape[2], value_dim = rows->shape[1], all = nope + value_dim;
  std::vector<float> key(size_t(latent * nope));  // of one head, (latent, nope_dim)
  for (int64_t head = begin / all; head * all < end; head++) {
    const int64_t from = std::max(begin - head * all, int64_t(0)), to = std::min(end - head * all, all);
    if (from < nope)
      read_elements(keys->type->name, keys->type->block, keys->bytes, head * latent * nope, latent * nope, key.data());
    for (int64_t r = from; r < to; r++, values += latent) {
      if (r < nope) {
        for (int64_t c = 0; c < latent; c++) values[c] = key[size_t(c * nope + r)];
      } else {
        read_elements(rows->type->name, rows->type->block, rows->bytes, (head * value_dim + r - nope) * latent, latent,
                      values);
      }
    }
  }
}

// Refuses what has no reader; the widths of rows are whole blocks (gguf.cpp).
void check_readable(const SourceTensor& t) {
  const auto check = [&](std::string_view encoding, bool block) {
    if (block || convertible(encoding, DType::kF32)) return;
    fail(ErrorKind::kUnsupported, "{}: tensor {}: expected a type that converts to floats, got {}", t.file,
         name_text(t.name), encoding);
  };
  if (t.latent_expansion.keys) {
    for (const GgufTensor* part : {t.latent_expansion.keys, t.latent_expansion.values})
      check(part->type->name, part->type->block.has_value());
  } else {
    check(t.encoding, t.block || t.scales);
  }
}

template <class To>
void convert(const float* from, int64_t count, std::byte* to) {
  for (int64_t i = 0; i < count; i++) {
    const To value(from[i]);
    std::memcpy(to + size_t(i) * sizeof(To), &value, sizeof(To));
  }
}

}  // namespace

int64_t SourceTensor::stored_row(int64_t row) const {
  if (rotary_heads == 0) return row;
  const int64_t dim = rows() / rotary_heads, head = row / dim, half = row % dim / (dim / 2), i = row % (dim / 2);
  return head * dim + 2 * i + half;
}

void SourceTensor::check_shape(const Shape& expected) const {
  require(shape.size() <= Shape::kMaxRank && Shape(shape) == expected, ErrorKind::kInput,
          "{}: tensor {}: expected shape {}, got {}", file, name_text(name), expected.text(), shape_text(shape));
}

void SourceTensor::read_rows(int64_t begin, int64_t end, float* values) const {
  check_readable(*this);
  const int64_t width = columns();
  if (latent_expansion.keys) return read_latent_expansion(*this, begin, end, values);
  if (!scales && rotary_heads == 0)
    return read_elements(encoding, block, data, begin * width, (end - begin) * width, values);
  for (int64_t r = begin; r < end; r++, values += width) {
    if (scales)
      read_fp8_row(*this, r, values);
    else
      read_elements(encoding, block, data, stored_row(r) * width, width, values);
  }
}

void SourceTensor::load_into(const Tensor& destination) const {
  check_shape(destination.shape());
  want_pages(data);
  if (!block && !scales && rotary_heads == 0 && !latent_expansion.keys) {
    // As StoredTensor has it: also doubles, without a way through float.
    StoredTensor{name, encoding, shape, data, file}.load_into(destination);
    return give_back();
  }
  require(destination.rank() == 2 && destination.stride(1) == 1, ErrorKind::kInternal, "{}: loaded into shape {}", name,
          destination.shape().text());
  const DType to = destination.dtype();
  require(to == DType::kF32 || to == DType::kBF16 || to == DType::kF64, ErrorKind::kInternal, "{}: loaded as {}", name,
          tenth::name_of(to));
  const int64_t width = columns(), height = rows(), most = std::max(int64_t(1), kChunk / width);
  std::vector<float> staging(size_t(std::min(most, height) * width));
  std::vector<std::byte> converted(to == DType::kF32 ? 0 : staging.size() * size_of(to));
  for (int64_t begin = 0; begin < height; begin += most) {
    const int64_t count = std::min(most, height - begin);
    parallel_for(count, std::max(int64_t(1), (1 << 15) / width), [&](int64_t first, int64_t last) {
      float* rows = staging.data() + first * width;
      read_rows(begin + first, begin + last, rows);
      std::byte* out = converted.data() + size_t(first * width) * size_of(to);
      if (to == DType::kBF16) convert<bf16>(rows, (last - first) * width, out);
      if (to == DType::kF64) convert<double>(rows, (last - first) * width, out);
    });
    const std::byte* source = converted.empty() ? reinterpret_cast<const std::byte*>(staging.data()) : converted.data();
    const size_t row = size_t(width) * size_of(to), apart = size_t(destination.stride(0)) * size_of(to);
    auto* target = static_cast<std::byte*>(destination.raw()) + size_t(begin) * apart;
    if (row == apart) {
      destination.device().copy_from_host(target, source, row * size_t(count));
    } else {
      for (int64_t r = 0; r < count; r++)
        destination.device().copy_from_host(target + size_t(r) * apart, source + size_t(r) * row, row);
    }
  }
  give_back();
}

void SourceTensor::give_back() const {
  give_back_pages(data);
  if (!latent_expansion.keys) return;
  give_back_pages(latent_expansion.keys->bytes);
  give_back_pages(latent_expansion.values->bytes);
}

}  // namespace tenth
