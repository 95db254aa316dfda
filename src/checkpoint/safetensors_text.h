// Shared by the reader and the writer of safetensors files; not for other rooms.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "checkpoint/file_types.h"

namespace tenth {

// The bytes of a tensor; nothing if a dimension is negative, the product overflows, or they are not whole.
std::optional<uint64_t> stored_bytes(const FileType& type, std::span<const int64_t> shape);

// A name from a file, fit for a line of an error: control characters and what is not ASCII escaped, long names cut.
std::string name_text(std::string_view name);

std::string shape_text(std::span<const int64_t> shape);  // "(2, 3)"

}  // namespace tenth
