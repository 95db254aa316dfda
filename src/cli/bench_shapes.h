// The model shapes that other trainers were measured on (shared/peers/training), with random tokens and AdamW: dsv3a
// and dsv3b are DeepSeek-V3 blocks without multi-token prediction, dense10m and dense124m Llama blocks; and dsv32a,
// with sparse attention.
#pragma once
#include <string>

#include "nn/config.h"

namespace tenth {

struct BenchShape {
  ModelConfig config;
  int64_t batch = 0, context = 0;  // sequences of a step, tokens of each
};

// Throws kInput for another name.
BenchShape bench_shape(const std::string& name);

}  // namespace tenth
