// Qwen 3: each head's q and k are normed before rotation.
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  read_grouped_query_keys(in, c);
  c.attention_bias = in.flag("attention_bias", false);
  c.qk_norm = true;
}

}  // namespace

const Architecture kQwen3 = {"qwen3", "Qwen3ForCausalLM", read, write_grouped_query_keys};

}  // namespace tenth
