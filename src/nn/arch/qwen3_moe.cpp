// Qwen 3 with a mixture of experts: softmax over all experts, the chosen weights normalised, no shared expert.
#include <algorithm>

#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  read_grouped_query_keys(in, c);
  c.attention_bias = in.flag("attention_bias", false);
  c.qk_norm = true;
  const int64_t newer = in.integer("num_local_experts", 0);  // transformers 5 saves this name
  c.n_routed_experts = newer > 0 ? newer : in.integer("num_experts");
  c.moe_intermediate_size = in.integer("moe_intermediate_size");
  c.gate.score = GateArgs::Score::kSoftmax;
  c.gate.group_score = GateArgs::GroupScore::kMax;
  c.gate.experts_per_token = in.small("num_experts_per_tok", in.integer("num_experts_per_tok"));
  c.gate.normalize = in.flag("norm_topk_prob", false);
  const std::vector<int64_t> dense = in.integers("mlp_only_layers");
  const int64_t step = in.integer("decoder_sparse_step", 1);
  require(step >= 1, ErrorKind::kInput, "{}: decoder_sparse_step: expected at least 1, got {}", in.where(), step);
  for (int64_t layer = 0; layer < c.num_hidden_layers; layer++) {
    c.sparse_layer.push_back((layer + 1) % step == 0 && std::find(dense.begin(), dense.end(), layer) == dense.end());
  }
}

void write(const ModelConfig& c, OrderedJson& out) {
  write_grouped_query_keys(c, out);
  out["num_experts"] = c.n_routed_experts;
  out["moe_intermediate_size"] = c.moe_intermediate_size;
  out["num_experts_per_tok"] = c.gate.experts_per_token;
  out["norm_topk_prob"] = c.gate.normalize;
  out["decoder_sparse_step"] = 1;
  OrderedJson dense = OrderedJson::array();
  for (size_t layer = 0; layer < c.sparse_layer.size(); layer++) {
    if (!c.sparse_layer[layer]) dense.push_back(layer);
  }
  out["mlp_only_layers"] = dense;
}

}  // namespace

const Architecture kQwen3Moe = {"qwen3_moe", "Qwen3MoeForCausalLM", read, write};

}  // namespace tenth
