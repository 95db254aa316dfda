// Row-wise kernels, compiled once for each instruction set: include only from isa/*.cpp.
#pragma once
#include "backend/cpu/row_table.h"
#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr RowKernels kRowKernels = {};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
