// Element types that stand in safetensors files, and their conversion to the element types of tensors.
// Source: the Dtype enum of huggingface/safetensors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/dtype.h"

namespace tenth {

struct FileType {
  std::string_view name;  // "F32", "BF16", …
  int bits;               // of an element; below 8: packed, a tensor fills whole bytes
};

// All of them, in the order by which writers sort tensors (largest alignment last).
std::span<const FileType> file_types();
const FileType* find_file_type(std::string_view name);  // null if there is none of that name
std::string_view file_type_of(DType dtype);             // the same type's name in files: kF32 -> "F32"

// Whether values of a file type can become a tensor's type: every number becomes a float type, integers become integer
// types where each value fits. Types below 16 bits with an exponent are not numbers without their scales: to their own
// type only.
bool convertible(std::string_view from, DType to);

// Converts count elements; the types must be convertible. source need not be aligned; destination must be. Returns the
// index of the first value that does not fit, else count.
int64_t convert_elements(std::string_view from, const std::byte* source, DType to, std::byte* destination,
                         int64_t count);

}  // namespace tenth
