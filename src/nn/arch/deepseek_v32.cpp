// DeepSeek-V3.2 (arXiv 2512.02556): V3 whose tokens attend to the keys that an indexer picks.
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  kDeepseekV3.read(in, c);
  c.index_n_heads = in.integer("index_n_heads");
  c.index_head_dim = in.integer("index_head_dim");
  c.index_topk = in.integer("index_topk");
  require(c.index_topk >= 1, ErrorKind::kInput, "{}: index_topk: expected at least 1, got {}", in.where(),
          c.index_topk);
}

void write(const ModelConfig& c, OrderedJson& out) {
  kDeepseekV3.write(c, out);
  out["index_n_heads"] = c.index_n_heads;
  out["index_head_dim"] = c.index_head_dim;
  out["index_topk"] = c.index_topk;
}

}  // namespace

const Architecture kDeepseekV32 = {"deepseek_v32", "DeepseekV32ForCausalLM", read, write};

}  // namespace tenth
