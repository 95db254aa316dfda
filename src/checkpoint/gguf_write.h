// Writing GGUF files (version 3; the layout stands in gguf.h): the header first, then each tensor's bytes as they come.
#pragma once
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "checkpoint/gguf.h"

namespace tenth {

struct GgufEntry {
  std::string key;
  // GgufValue: as it lies in another file.
  std::variant<uint32_t, int32_t, float, bool, std::string, std::vector<std::string>, std::vector<int32_t>, GgufValue>
      value;
};

struct GgufTensorToWrite {
  std::string name;
  const GgufTensorType* type;
  std::vector<int64_t> shape;                  // row-major
  std::function<void(const ByteSink&)> write;  // its bytes, in pieces; may be called again (write_file)
};

// A file that is complete or absent (write_file). Throws kIo; kInternal where a tensor hands over another number of
// bytes than its shape and type take, or its rows are not whole blocks.
void write_gguf(const Path& path, const std::vector<GgufEntry>& metadata,
                const std::vector<GgufTensorToWrite>& tensors);

}  // namespace tenth
