#include "checkpoint/gguf_write.h"

#include "base/error.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

constexpr uint64_t kAlignment = 32;

uint64_t padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// The header, field by field.
class Header {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void text(std::string_view value) {
    number(uint64_t(value.size()));
    bytes_.append(value);
  }
  void raw(std::string_view bytes) { bytes_.append(bytes); }
  void pad() { bytes_.resize(padded(bytes_.size()), '\0'); }
  const std::string& bytes() const { return bytes_; }

  void type(GgufValueType value) { number(uint32_t(value)); }
  void value(uint32_t v) { type(GgufValueType::kU32), number(v); }
  void value(int32_t v) { type(GgufValueType::kI32), number(v); }
  void value(float v) { type(GgufValueType::kF32), number(v); }
  void value(bool v) { type(GgufValueType::kBool), number(uint8_t(v)); }
  void value(const std::string& v) { type(GgufValueType::kText), text(v); }
  void value(const std::vector<std::string>& all) {
    array(GgufValueType::kText, all.size());
    for (const std::string& one : all) text(one);
  }
  void value(const std::vector<int32_t>& all) {
    array(GgufValueType::kI32, all.size());
    for (const int32_t one : all) number(one);
  }

  void value(const GgufValue& v) {
    const std::string_view content(reinterpret_cast<const char*>(v.bytes.data()), v.bytes.size());
    if (v.type == GgufValueType::kArray) return array(v.element, v.count), raw(content);
    type(v.type);
    if (v.type == GgufValueType::kText) number(uint64_t(content.size()));
    raw(content);
  }

 private:
  void array(GgufValueType element, size_t count) {
    type(GgufValueType::kArray);
    type(element);
    number(uint64_t(count));
  }
  std::string bytes_;
};

uint64_t bytes_of(const GgufTensorToWrite& tensor) {
  uint64_t count = 1;
  for (const int64_t dim : tensor.shape) count *= uint64_t(dim);
  require(!tensor.shape.empty() && tensor.shape.size() <= 4 && tensor.name.size() <= 63 &&
              tensor.shape.back() % tensor.type->elements == 0,
          ErrorKind::kInternal, "gguf: tensor {} of shape {} as {}", name_text(tensor.name), shape_text(tensor.shape),
          tensor.type->name);
  return count / uint64_t(tensor.type->elements) * uint64_t(tensor.type->bytes);
}

}  // namespace

void write_gguf(const Path& path, const std::vector<GgufEntry>& metadata,
                const std::vector<GgufTensorToWrite>& tensors) {
  Header header;
  header.raw("GGUF");
  header.number(uint32_t(3));
  header.number(uint64_t(tensors.size()));
  header.number(uint64_t(metadata.size()));
  for (const GgufEntry& entry : metadata) {
    header.text(entry.key);
    std::visit([&](const auto& value) { header.value(value); }, entry.value);
  }
  uint64_t place = 0;
  for (const GgufTensorToWrite& tensor : tensors) {
    header.text(tensor.name);
    header.number(uint32_t(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) header.number(uint64_t(tensor.shape[i]));
    header.number(tensor.type->code);
    header.number(place);
    place += padded(bytes_of(tensor));
  }
  header.pad();

  write_file(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span(header.bytes())));
    const std::byte zeros[kAlignment] = {};
    for (const GgufTensorToWrite& tensor : tensors) {
      uint64_t written = 0;
      tensor.write([&](std::span<const std::byte> piece) {
        written += piece.size();
        sink(piece);
      });
      const uint64_t bytes = bytes_of(tensor);
      require(written == bytes, ErrorKind::kInternal, "gguf: tensor {}: {} bytes written of {}", tensor.name, written,
              bytes);
      sink(std::span(zeros).first(padded(bytes) - bytes));
    }
  });
}

}  // namespace tenth
