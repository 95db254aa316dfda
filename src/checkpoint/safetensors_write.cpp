// Writing safetensors files: the header first, from shapes and types alone; then the data, streamed in bounded pieces.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/json.h"
#include "checkpoint/file_types.h"
#include "checkpoint/runs.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

constexpr size_t kPiece = size_t(1) << 20;  // bytes handed to the file at once

struct Planned {
  const TensorToWrite* what;
  const FileType* type;
  std::vector<int64_t> shape;
  uint64_t bytes;
};

std::vector<int64_t> dims_of(const Shape& shape) {
  std::vector<int64_t> dims;
  for (int i = 0; i < shape.rank(); i++) dims.push_back(shape[i]);
  return dims;
}

// Our own type of that name in files; tensors are written in these only.
DType tensor_type(const TensorToWrite& what) {
  for (DType dtype : {DType::kF64, DType::kF32, DType::kBF16, DType::kI64, DType::kI32, DType::kU8, DType::kF8E4M3}) {
    if (what.dtype == file_type_of(dtype)) return dtype;
  }
  fail(ErrorKind::kInternal, "safetensors: tensor {} cannot be written as {}", name_text(what.name), what.dtype);
}

Planned plan(const TensorToWrite& what) {
  const bool from_tensor = what.tensor.defined();
  const std::string_view dtype = from_tensor && what.dtype.empty() ? file_type_of(what.tensor.dtype()) : what.dtype;
  Planned planned{&what, find_file_type(dtype), from_tensor ? dims_of(what.tensor.shape()) : what.shape, 0};
  require(planned.type != nullptr && what.name != "__metadata__", ErrorKind::kInternal,
          "safetensors: no tensor can be named {} and have the type \"{}\"", name_text(what.name), dtype);
  const auto bytes = stored_bytes(*planned.type, planned.shape);
  require(bytes && (from_tensor || what.write || *bytes == what.bytes.size()), ErrorKind::kInternal,
          "safetensors: tensor {} of shape {} and type {} from {} bytes", name_text(what.name),
          shape_text(planned.shape), dtype, what.bytes.size());
  if (from_tensor && !what.dtype.empty()) {
    require(convertible(file_type_of(what.tensor.dtype()), tensor_type(what)), ErrorKind::kInternal,
            "safetensors: tensor {} of {} cannot be written as {}", name_text(what.name), name_of(what.tensor.dtype()),
            dtype);
  }
  planned.bytes = *bytes;
  return planned;
}

std::vector<Planned> plan_all(std::span<const TensorToWrite> tensors) {
  std::vector<Planned> all;
  for (const TensorToWrite& what : tensors) all.push_back(plan(what));
  std::sort(all.begin(), all.end(), [](const Planned& a, const Planned& b) {
    return a.type != b.type ? a.type > b.type : a.what->name < b.what->name;  // types point into one ordered table
  });
  std::vector<std::string_view> names;
  for (const Planned& planned : all) names.push_back(planned.what->name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require(twice == names.end(), ErrorKind::kInternal, "safetensors: two tensors named {}",
          twice == names.end() ? "" : name_text(*twice));
  return all;
}

std::string quoted(const std::string& text) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    fail(ErrorKind::kInternal, "safetensors: expected names and metadata in UTF-8, got {}", name_text(text));
  }
}

// The header with its length, padded so that the data begins at a multiple of 8.
std::string make_header(const std::vector<Planned>& tensors, const std::map<std::string, std::string>& metadata) {
  std::string text = std::string(8, '\0') + "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += quoted(key) + ":" + quoted(value) + ",";
    text.back() = '}';
    text += ",";
  }
  uint64_t place = 0;
  for (const Planned& tensor : tensors) {
    text += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}},", quoted(tensor.what->name),
                        tensor.type->name, fmt::join(tensor.shape, ","), place, place + tensor.bytes);
    place += tensor.bytes;
  }
  if (text.back() == ',') text.pop_back();
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size() - 8;
  std::memcpy(text.data(), &length, 8);
  return text;
}

// Collects small runs, so that the file is written in pieces of kPiece bytes.
class Collector {
 public:
  explicit Collector(const ByteSink& sink) : sink_(sink), bytes_(kPiece) {}

  // Room for a run of at most kPiece bytes that is written next.
  std::byte* room(size_t bytes) {
    if (bytes_.size() - used_ < bytes) flush();
    return bytes_.data() + std::exchange(used_, used_ + bytes);
  }
  void flush() {
    if (used_ > 0) sink_(std::span(bytes_).first(std::exchange(used_, 0)));
  }

 private:
  const ByteSink& sink_;
  std::vector<std::byte> bytes_;
  size_t used_ = 0;
};

void write_tensor(Collector& file, const TensorToWrite& what) {
  const Tensor& tensor = what.tensor;
  const DType to = what.dtype.empty() ? tensor.dtype() : tensor_type(what);
  std::vector<std::byte> staging(size_t(kRunElements) * size_of(tensor.dtype()));
  int64_t written = 0;
  for_each_run(tensor, [&](const void* run, int64_t count) {
    tensor.device().copy_to_host(staging.data(), run, size_t(count) * size_of(tensor.dtype()));
    std::byte* out = file.room(size_t(count) * size_of(to));
    const int64_t done = convert_elements(file_type_of(tensor.dtype()), staging.data(), to, out, count);
    require(done == count, ErrorKind::kInternal, "safetensors: tensor {}: the value at {} does not fit {}",
            name_text(what.name), written + done, what.dtype);
    written += count;
  });
}

void write_bytes(const ByteSink& sink, const Planned& tensor) {
  if (!tensor.what->write) return sink(tensor.what->bytes);
  uint64_t written = 0;
  tensor.what->write([&](std::span<const std::byte> piece) {
    written += piece.size();
    sink(piece);
  });
  require(written == tensor.bytes, ErrorKind::kInternal, "safetensors: tensor {}: {} bytes written of {}",
          name_text(tensor.what->name), written, tensor.bytes);
}

}  // namespace

void write_safetensors(const Path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<Planned> planned = plan_all(tensors);
  const std::string header = make_header(planned, metadata);
  write_file(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span(header)));
    Collector file(sink);
    for (const Planned& tensor : planned) {
      if (tensor.what->tensor.defined()) {
        write_tensor(file, *tensor.what);
      } else {
        file.flush();
        write_bytes(sink, tensor);
      }
    }
    file.flush();
  });
}

}  // namespace tenth
