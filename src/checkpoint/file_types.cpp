#include "checkpoint/file_types.h"

#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "tensor/half.h"

namespace tenth {
namespace {

// The order is the one in which safetensors 0.8.0 sorts what it writes (from the last to the first).
constexpr std::array kFileTypes = {
    FileType{"BOOL", 8},    FileType{"F4", 4},          FileType{"F6_E2M3", 6},     FileType{"F6_E3M2", 6},
    FileType{"U8", 8},      FileType{"I8", 8},          FileType{"F8_E5M2", 8},     FileType{"F8_E4M3", 8},
    FileType{"F8_E8M0", 8}, FileType{"F8_E4M3FNUZ", 8}, FileType{"F8_E5M2FNUZ", 8}, FileType{"I16", 16},
    FileType{"U16", 16},    FileType{"F16", 16},        FileType{"BF16", 16},       FileType{"I32", 32},
    FileType{"U32", 32},    FileType{"F32", 32},        FileType{"C64", 64},        FileType{"F64", 64},
    FileType{"I64", 64},    FileType{"U64", 64},
};

struct Half {
  uint16_t bits;
  operator float() const { return half_to_float(bits); }
};

// A byte that is not 0 is true.
struct Boolean {
  uint8_t byte;
};

template <class From, class To>
int64_t convert_run(const std::byte* source, std::byte* destination, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    From value;
    std::memcpy(&value, source + i * int64_t(sizeof(From)), sizeof(From));
    To result;
    if constexpr (std::is_same_v<From, Boolean>) {
      result = To(float(value.byte != 0));
    } else if constexpr (std::is_integral_v<From> && std::is_integral_v<To>) {
      if (!std::in_range<To>(value)) return i;
      result = To(value);
    } else if constexpr (std::is_same_v<From, double> || std::is_same_v<To, double>) {
      result = To(double(value));
    } else {
      result = To(float(value));
    }
    std::memcpy(destination + i * int64_t(sizeof(To)), &result, sizeof(To));
  }
  return count;
}

using ConvertRun = int64_t (*)(const std::byte*, std::byte*, int64_t);

// Null where the types are not convertible.
template <class From>
ConvertRun converter_to(DType to) {
  constexpr bool whole = std::is_integral_v<From> || std::is_same_v<From, Boolean>;
  switch (to) {
    case DType::kF64: return convert_run<From, double>;
    case DType::kF32: return convert_run<From, float>;
    case DType::kBF16: return convert_run<From, bf16>;
    default: break;
  }
  if constexpr (whole) {
    switch (to) {
      case DType::kI64: return convert_run<From, int64_t>;
      case DType::kI32: return convert_run<From, int32_t>;
      case DType::kU8: return convert_run<From, uint8_t>;
      default: break;
    }
  }
  return nullptr;
}

ConvertRun find_converter(std::string_view from, DType to) {
  if (from == "F64") return converter_to<double>(to);
  if (from == "F32") return converter_to<float>(to);
  if (from == "BF16") return converter_to<bf16>(to);
  if (from == "F16") return converter_to<Half>(to);
  if (from == "I64") return converter_to<int64_t>(to);
  if (from == "U64") return converter_to<uint64_t>(to);
  if (from == "I32") return converter_to<int32_t>(to);
  if (from == "U32") return converter_to<uint32_t>(to);
  if (from == "I16") return converter_to<int16_t>(to);
  if (from == "U16") return converter_to<uint16_t>(to);
  if (from == "I8") return converter_to<int8_t>(to);
  if (from == "U8") return converter_to<uint8_t>(to);
  if (from == "BOOL") return converter_to<Boolean>(to);
  return nullptr;
}

}  // namespace

std::span<const FileType> file_types() { return kFileTypes; }

const FileType* find_file_type(std::string_view name) {
  for (const FileType& type : kFileTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

std::string_view file_type_of(DType dtype) {
  switch (dtype) {
    case DType::kF64: return "F64";
    case DType::kF32: return "F32";
    case DType::kBF16: return "BF16";
    case DType::kI64: return "I64";
    case DType::kI32: return "I32";
    case DType::kU8: return "U8";
    case DType::kF8E4M3: return "F8_E4M3";
  }
  return "?";
}

bool convertible(std::string_view from, DType to) {
  return from == file_type_of(to) || find_converter(from, to) != nullptr;
}

int64_t convert_elements(std::string_view from, const std::byte* source, DType to, std::byte* destination,
                         int64_t count) {
  if (from == file_type_of(to)) {
    if (count > 0) std::memcpy(destination, source, size_t(count) * size_of(to));
    return count;
  }
  const ConvertRun convert = find_converter(from, to);
  require(convert != nullptr, ErrorKind::kInternal, "no conversion from {} to {}", from, name_of(to));
  return convert(source, destination, count);
}

}  // namespace tenth
