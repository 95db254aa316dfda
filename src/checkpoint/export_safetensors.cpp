#include "checkpoint/export_safetensors.h"

#include <cmath>

#include "base/json.h"
#include "base/threads.h"
#include "checkpoint/row_stream.h"
#include "checkpoint/safetensors_text.h"
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

using Type = SafetensorsExport::Type;
constexpr int64_t kSide = Fp8Args::kSide;
constexpr int64_t kStripsAtOnce = 16;

// A linear of a block: what DeepSeek's FP8 files have in e4m3.
bool is_block_linear(const SourceTensor& t) {
  const std::string_view name = t.name;
  for (const char* other : {"norm.weight", "mlp.gate.weight", "indexer.weights_proj.weight", "eh_proj.weight",
                            "embed_tokens.weight", "head.weight"}) {
    if (name.ends_with(other)) return false;
  }
  return t.shape.size() == 2 && name.starts_with("model.layers.") && name.ends_with(".weight");
}

// Calls visit(strip, rows, count) for strips of 128 rows (the last: fewer), some at once on all cores; then
// done(first strip, strips) in order.
template <class Visit, class Done>
void for_strips(const SourceTensor& t, const Visit& visit, const Done& done) {
  const int64_t rows = t.rows(), columns = t.columns(), strips = (rows + kSide - 1) / kSide;
  const int64_t at_once = std::min<int64_t>({strips, kStripsAtOnce, 2 * thread_count()});
  std::vector<float> values(size_t(at_once * kSide * columns));
  for (int64_t first = 0; first < strips; first += at_once) {
    check_interrupt();
    const int64_t count = std::min(at_once, strips - first);
    parallel_each(count, [&](int64_t i) {
      const int64_t begin = (first + i) * kSide, end = std::min(rows, begin + kSide);
      float* strip = values.data() + i * kSide * columns;
      t.read_rows(begin, end, strip);
      visit(first + i, strip, end - begin);
    });
    done(first, count);
  }
}

// scale = amax / 448 of each block
std::vector<float> fp8_scales(const SourceTensor& t) {
  const int64_t columns = t.columns(), across = (columns + kSide - 1) / kSide;
  std::vector<float> scales(size_t((t.rows() + kSide - 1) / kSide * across));
  const auto visit = [&](int64_t strip, const float* values, int64_t rows) {
    for (int64_t j = 0; j < across; j++) {
      float largest = float(Fp8Args().floor);
      for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = j * kSide; c < std::min(columns, (j + 1) * kSide); c++) {
          const float size = std::abs(values[r * columns + c]);
          if (!std::isfinite(size)) {
            fail(ErrorKind::kNumeric, "tensor {}: expected finite numbers, got {} in row {}", name_text(t.name),
                 values[r * columns + c], strip * kSide + r);
          }
          largest = std::max(largest, size);
        }
      }
      scales[size_t(strip * across + j)] = fp8_scale(largest, Fp8Scale::kF32);
    }
  };
  for_strips(t, visit, [](int64_t, int64_t) {});
  return scales;
}

void write_fp8(const SourceTensor& t, const std::vector<float>& scales, const ByteSink& sink) {
  const int64_t columns = t.columns(), across = (columns + kSide - 1) / kSide;
  std::vector<std::byte> bytes(size_t(kStripsAtOnce * kSide * columns));
  const int64_t at_once = std::min<int64_t>({(t.rows() + kSide - 1) / kSide, kStripsAtOnce, 2 * thread_count()});
  const auto visit = [&](int64_t strip, const float* values, int64_t rows) {
    std::byte* out = bytes.data() + strip % at_once * kSide * columns;
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < columns; c++) {
        const float scale = scales[size_t(strip * across + c / kSide)];
        out[r * columns + c] = std::byte(fp8_e4m3(values[r * columns + c] / scale).bits);
      }
    }
  };
  for_strips(t, visit, [&](int64_t first, int64_t count) {
    const int64_t rows = std::min(t.rows(), (first + count) * kSide) - first * kSide;
    sink(std::span(bytes).first(size_t(rows * columns)));
  });
}

void add_fp8(const SourceTensor& t, std::vector<TensorToWrite>& out) {
  const std::string scale_name = t.name + "_scale_inv";
  if (t.scales) {
    out.push_back({.name = t.name, .dtype = "F8_E4M3", .shape = t.shape, .bytes = t.data});
    out.push_back({.name = scale_name, .dtype = t.scales->dtype, .shape = t.scales->shape, .bytes = t.scales->bytes});
    return;
  }
  const auto scales = std::make_shared<std::vector<float>>();  // written first: F32 stands before F8 in a file
  const std::vector<int64_t> shape = {(t.shape[0] + kSide - 1) / kSide, (t.shape[1] + kSide - 1) / kSide};
  out.push_back({.name = scale_name, .dtype = "F32", .shape = shape, .write = [&t, scales](const ByteSink& sink) {
                   *scales = fp8_scales(t);
                   sink(std::as_bytes(std::span(*scales)));
                 }});
  out.push_back({.name = t.name, .dtype = "F8_E4M3", .shape = t.shape, .write = [&t, scales](const ByteSink& sink) {
                   write_fp8(t, *scales, sink);
                   t.give_back();
                 }});
}

void add_plain(const SourceTensor& t, Type type, std::vector<TensorToWrite>& out) {
  const bool wide = type == Type::kF32 || t.name.ends_with("e_score_correction_bias");
  const GgufTensorType* to = find_gguf_type(wide ? "F32" : "BF16");
  out.push_back({.name = t.name, .dtype = to->name, .shape = t.shape, .write = [&t, to](const ByteSink& sink) {
                   stream_rows(rows_of(t), *to, t.name, sink);
                   t.give_back();
                 }});
}

uint64_t bytes_of(const TensorToWrite& t) { return stored_bytes(*find_file_type(t.dtype), t.shape).value(); }

// Has the progress told once the tensor is written.
void report(TensorToWrite& tensor, const ExportProgress& progress, uint64_t& done, uint64_t total) {
  if (!progress || !tensor.write) return;
  tensor.write = [inner = std::move(tensor.write), bytes = bytes_of(tensor), total, &done,
                  &progress](const ByteSink& sink) {
    inner(sink);
    progress(done += bytes, total);
  };
}

}  // namespace

void export_safetensors(const WeightSource& source, const Path& folder, const SafetensorsExport& options) {
  // Shards hold whole weights: a scale stands beside its tensor.
  std::vector<std::vector<TensorToWrite>> shards(1);
  uint64_t total = 0, in_shard = 0;
  for (const SourceTensor& t : source.tensors()) {
    require(t.name.starts_with("model.") || t.name == "lm_head.weight", ErrorKind::kInput,
            "{}: tensor {}: not a part of a {} model", t.file, name_text(t.name), source.config().model_type);
    std::vector<TensorToWrite> parts;
    if (options.type == Type::kFp8 && is_block_linear(t))
      add_fp8(t, parts);
    else
      add_plain(t, options.type, parts);
    uint64_t bytes = 0;
    for (const TensorToWrite& part : parts) bytes += bytes_of(part);
    if (in_shard > 0 && in_shard + bytes > options.shard_bytes) {
      shards.emplace_back();
      in_shard = 0;
    }
    total += bytes;
    in_shard += bytes;
    for (TensorToWrite& part : parts) shards.back().push_back(std::move(part));
  }
  uint64_t done = 0;
  for (std::vector<TensorToWrite>& shard : shards) {
    for (TensorToWrite& tensor : shard) report(tensor, options.progress, done, total);
  }
  if (shards.size() == 1) return write_safetensors(folder / "model.safetensors", shards[0], {{"format", "pt"}});
  OrderedJson map = OrderedJson::object();
  for (size_t i = 0; i < shards.size(); i++) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / name, shards[i], {{"format", "pt"}});
    for (const TensorToWrite& tensor : shards[i]) map[tensor.name] = name;
  }
  const OrderedJson index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  write_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

std::string exported_config(const WeightSource& source, Type type) {
  const bool wide = type == Type::kF32;
  OrderedJson json =
      source.gguf() ? config_json(source.config(), DType::kF32) : OrderedJson::parse(read_file(source.config_file()));
  json.erase("dtype");  // newer files' name for torch_dtype
  json["torch_dtype"] = wide ? "float32" : "bfloat16";
  json.erase("quantization_config");
  if (type == Type::kFp8) {
    json["quantization_config"] = {{"activation_scheme", "dynamic"},
                                   {"fmt", "e4m3"},
                                   {"quant_method", "fp8"},
                                   {"weight_block_size", {Fp8Args::kSide, Fp8Args::kSide}}};
  }
  return json.dump(2) + "\n";
}

}  // namespace tenth
