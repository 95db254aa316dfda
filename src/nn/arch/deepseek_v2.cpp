// DeepSeek-V2 and V2-Lite (arXiv 2405.04434): softmax scores, groups scored by their best, weights not normalised.
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  read_latent_attention_keys(in, c);
  const std::string method = in.text("topk_method", "greedy");
  require(method == "greedy" || method == "group_limited_greedy", ErrorKind::kUnsupported,
          "{}: topk_method: expected greedy or group_limited_greedy, got {}", in.where(), method);
  c.gate.score = GateArgs::Score::kSoftmax;
  c.gate.group_score = GateArgs::GroupScore::kMax;
  if (method == "greedy") c.gate.groups = c.gate.groups_kept = 1;
  c.gate.normalize = false;  // transformers ignores norm_topk_prob here; every release has it false
  c.gate_bias = false;
}

void write(const ModelConfig& c, OrderedJson& out) {
  write_latent_attention_keys(c, out);
  out["topk_method"] = c.gate.groups > 1 ? "group_limited_greedy" : "greedy";
  out["scoring_func"] = "softmax";
  out["norm_topk_prob"] = false;
}

}  // namespace

const Architecture kDeepseekV2 = {"deepseek_v2", "DeepseekV2ForCausalLM", read, write};

}  // namespace tenth
