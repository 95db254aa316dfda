// Qwen 2 and 2.5, and the Qwen distillations of R1: biases on q, k and v.
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  read_grouped_query_keys(in, c);
  c.attention_bias = true;
}

}  // namespace

const Architecture kQwen2 = {"qwen2", "Qwen2ForCausalLM", read, write_grouped_query_keys};

}  // namespace tenth
