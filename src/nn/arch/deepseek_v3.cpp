// DeepSeek-V3, R1, V3.1 (arXiv 2412.19437): sigmoid scores, a bias that only selects, groups scored by their two best.
#include "nn/arch/architecture.h"

namespace tenth {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  read_latent_attention_keys(in, c);
  c.num_nextn_predict_layers = in.integer("num_nextn_predict_layers", 0);
  const std::string method = in.text("topk_method", "noaux_tc"), scoring = in.text("scoring_func", "sigmoid");
  require(method == "noaux_tc" && scoring == "sigmoid", ErrorKind::kUnsupported,
          "{}: topk_method, scoring_func: expected noaux_tc and sigmoid, got {} and {}", in.where(), method, scoring);
  c.gate.score = GateArgs::Score::kSigmoid;
  c.gate.group_score = GateArgs::GroupScore::kTopTwoSum;
  c.gate.normalize = in.flag("norm_topk_prob", true);
  c.gate_bias = true;
}

void write(const ModelConfig& c, OrderedJson& out) {
  write_latent_attention_keys(c, out);
  out["num_nextn_predict_layers"] = c.num_nextn_predict_layers;
  out["topk_method"] = "noaux_tc";
  out["scoring_func"] = "sigmoid";
  out["norm_topk_prob"] = c.gate.normalize;
}

}  // namespace

const Architecture kDeepseekV3 = {"deepseek_v3", "DeepseekV3ForCausalLM", read, write};

}  // namespace tenth
