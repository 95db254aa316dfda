// Llama 2 and 3, SmolLM2, and the Llama distillations of R1.
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  read_grouped_query_keys(in, c);
  require(!in.flag("attention_bias", false), ErrorKind::kUnsupported, "{}: attention_bias: expected false, got true",
          in.where());
}

}  // namespace

const Architecture kLlama = {"llama", "LlamaForCausalLM", read, write_grouped_query_keys};

}  // namespace tenth
