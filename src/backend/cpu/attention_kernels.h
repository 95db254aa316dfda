// Attention kernels, compiled once for each instruction set: include only from isa/*.cpp.
#pragma once
#include "backend/cpu/attention_table.h"
#include "backend/cpu/vec.h"

namespace tenth::cpu::TENTH_ISA {
namespace {

constexpr AttentionKernels kAttentionKernels = {};

}  // namespace
}  // namespace tenth::cpu::TENTH_ISA
