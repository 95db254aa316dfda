#include "tensor/dtype.h"

namespace tenth {

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::kF64: return "f64";
    case DType::kF32: return "f32";
    case DType::kBF16: return "bf16";
    case DType::kI64: return "i64";
    case DType::kI32: return "i32";
    case DType::kU8: return "u8";
    case DType::kF8E4M3: return "f8_e4m3";
  }
  return "?";
}

}  // namespace tenth
