// libFuzzer: a .gguf file is refused, or its metadata read as what they are, its tensors lie within it and become
// floats, and its config is one that a model can have.
#include <cmath>

#include "checkpoint/weight_source.h"
#include "fuzz.h"

namespace tenth {
namespace {

template <class Body>
void may_refuse(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    fuzz::must_blame_input(error);
  }
}

void read_all(const GgufMetadata& in) {
  for (const auto& [key, value] : in.values()) {
    may_refuse([&, key = key] { in.integer(key); });
    may_refuse([&, key = key] { fuzz::must(std::isfinite(in.real(key))); });
    may_refuse([&, key = key] { in.flag(key, false); });
    may_refuse([&, key = key] { in.text(key); });
    may_refuse([&, key = key, &value = value] { fuzz::must(in.texts(key).size() == value.count); });
    may_refuse([&, key = key] { in.integers(key); });
    may_refuse([&, key = key] { in.reals(key); });
  }
}

}  // namespace
}  // namespace tenth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static fuzz::MemoryFile file;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  may_refuse([&] {
    const GgufContent content = parse_gguf(std::as_bytes(std::span(data, size)), "fuzz");
    uint64_t bytes = 0;
    for (const GgufTensor& tensor : content.tensors) bytes += tensor.bytes.size();
    fuzz::must(bytes <= size);
    read_all(content.metadata);
  });
  may_refuse([&] {
    const WeightSource source = WeightSource::open(file.path_of(text));
    for (const SourceTensor& tensor : source.tensors()) {
      std::vector<float> values(size_t(tensor.rows() * tensor.columns()));
      may_refuse([&] { tensor.read_rows(0, tensor.rows(), values.data()); });
    }
  });
  return 0;
}
