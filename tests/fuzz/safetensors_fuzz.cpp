// libFuzzer: a file either throws Error or its tensors lie within it and can be loaded where their type has a
// conversion.
#include <cstdlib>

#include "base/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static HostDevice device;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  try {
    uint64_t place = 0;
    for (const StoredTensor& tensor : parse_safetensors(bytes, "fuzz").tensors) {
      place += tensor.bytes.size();
      if (place > size) std::abort();
      for (DType dtype : {DType::kF32, DType::kI64}) {
        try {
          tensor.load(device, dtype);
        } catch (const Error&) {
        }
      }
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInput || std::string_view(error.what()).find('\n') != std::string_view::npos)
      std::abort();
  }
  return 0;
}
