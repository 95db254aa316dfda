#include "checkpoint/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "checkpoint/safetensors_text.h"
#include "nn/arch/architecture.h"
#include "nn/rope_table.h"

namespace tenth {
namespace {

struct Names {
  std::string_view gguf, model_type;
};
constexpr Names kArchitectures[] = {{"deepseek2", ""},  // deepseek_v2 or deepseek_v3
                                    {"llama", "llama"},
                                    {"qwen2", "qwen2"},
                                    {"qwen3", "qwen3"},
                                    {"qwen3moe", "qwen3_moe"}};

// Reads metadata under the architecture's prefix.
class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file), in_(file.metadata()) {
    const std::string_view name = in_.text("general.architecture");
    std::string known;
    for (const Names& one : kArchitectures) {
      if (one.gguf == name) architecture_ = &one;
      known += (known.empty() ? "" : ", ") + std::string(one.gguf);
    }
    require(architecture_ != nullptr, ErrorKind::kUnsupported,
            "{}: metadata general.architecture: expected one of {}, got {}", in_.file(), known, name_text(name));
  }

  const GgufMetadata& all() const { return in_; }
  const GgufFile& file() const { return file_; }
  const Names& architecture() const { return *architecture_; }
  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_->gguf, name); }
  bool has(std::string_view name) const { return in_.has(key(name)); }
  int64_t integer(std::string_view name) const { return in_.integer(key(name)); }
  int64_t integer(std::string_view name, int64_t fallback) const { return in_.integer(key(name), fallback); }
  double real(std::string_view name, double fallback) const { return in_.real(key(name), fallback); }
  bool flag(std::string_view name, bool fallback) const { return in_.flag(key(name), fallback); }

  // For what a file may ask and this program does not do.
  void expect(std::string_view name, int64_t expected, int64_t got) const {
    require(got == expected, ErrorKind::kUnsupported, "{}: metadata {}: expected {}, got {}", in_.file(), key(name),
            expected, got);
  }

 private:
  const GgufFile& file_;
  const GgufMetadata& in_;
  const Names* architecture_ = nullptr;
};

Json rope_scaling(const Reader& in, bool latent_attention) {
  const std::string type(in.all().text(in.key("rope.scaling.type"), "none"));
  if (type == "none" || (type == "linear" && in.real("rope.scaling.factor", 1) == 1)) return nullptr;
  require(type == "yarn", ErrorKind::kUnsupported, "{}: metadata {}: expected none or yarn, got {}", in.all().file(),
          in.key("rope.scaling.type"), name_text(type));
  Json scaling = {{"rope_type", "yarn"},
                  {"factor", in.all().real(in.key("rope.scaling.factor"))},
                  {"original_max_position_embeddings", in.integer("rope.scaling.original_context_length")},
                  {"beta_fast", in.real("rope.scaling.yarn_beta_fast", 32)},
                  {"beta_slow", in.real("rope.scaling.yarn_beta_slow", 1)}};
  if (latent_attention) {
    // The converter multiplies mscale_all_dim by 0.1; cosines stay as they are, so mscale equals it.
    const double mscale = 10 * in.real("rope.scaling.yarn_log_multiplier", 0);
    scaling["mscale"] = scaling["mscale_all_dim"] = std::round(mscale * 1e6) / 1e6;  // the file has a float
  }
  const double factor = in.real("rope.scaling.attn_factor", 1);
  if (factor != 1)
    scaling["attention_factor"] = factor * (1 + 0.1 * std::log(in.all().real(in.key("rope.scaling.factor"))));
  return scaling;
}

void add_latent_attention(const Reader& in, Json& out) {
  const int64_t rope = in.integer("rope.dimension_count");
  // Files whose kv_b is split give the sizes of the absorbed form under the plain keys, and these beside them.
  const int64_t query = in.integer("attention.key_length_mla", in.integer("attention.key_length"));
  const int64_t value = in.integer("attention.value_length_mla", in.integer("attention.value_length"));
  require(query > rope, ErrorKind::kInput, "{}: metadata {}: expected more than rope.dimension_count {}, got {}",
          in.all().file(), in.key("attention.key_length"), rope, query);
  if (in.has("attention.q_lora_rank")) out["q_lora_rank"] = in.integer("attention.q_lora_rank");
  out["kv_lora_rank"] = in.integer("attention.kv_lora_rank");
  out["qk_rope_head_dim"] = rope;
  out["qk_nope_head_dim"] = query - rope;
  out["v_head_dim"] = value;
}

void add_deepseek_mixture(const Reader& in, Json& out) {
  const int64_t gating = in.integer("expert_gating_func", 1);  // absent in files of DeepSeek-V2
  require(gating == 1 || gating == 2, ErrorKind::kUnsupported,
          "{}: metadata {}: expected 1 (softmax) or 2 (sigmoid), got {}", in.all().file(), in.key("expert_gating_func"),
          gating);
  const int64_t groups = in.integer("expert_group_count", 1);
  const bool sigmoid = gating == 2, normalize = in.flag("expert_weights_norm", false);
  require(sigmoid || !normalize, ErrorKind::kUnsupported,
          "{}: metadata {}: expected false with softmax scores, got true", in.all().file(),
          in.key("expert_weights_norm"));
  out["model_type"] = sigmoid ? "deepseek_v3" : "deepseek_v2";
  out["topk_method"] = sigmoid ? "noaux_tc" : groups > 1 ? "group_limited_greedy" : "greedy";
  out["scoring_func"] = sigmoid ? "sigmoid" : "softmax";
  out["norm_topk_prob"] = normalize;
  out["n_routed_experts"] = in.integer("expert_count", 0);
  if (out["n_routed_experts"] == 0) return;
  out["n_shared_experts"] = in.integer("expert_shared_count", 0);
  out["num_experts_per_tok"] = in.integer("expert_used_count");
  out["moe_intermediate_size"] = in.integer("expert_feed_forward_length");
  out["first_k_dense_replace"] = in.integer("leading_dense_block_count", 0);
  out["routed_scaling_factor"] = in.real("expert_weights_scale", 1);
  out["n_group"] = groups;
  out["topk_group"] = in.integer("expert_group_used_count", 1);
}

void add_grouped_query(const Reader& in, Json& out) {
  const int64_t heads = in.integer("attention.head_count"), width = in.integer("embedding_length");
  const int64_t dim = in.integer("attention.key_length", heads > 0 ? width / heads : 0);
  out["num_key_value_heads"] = in.integer("attention.head_count_kv", heads);
  out["head_dim"] = dim;
  in.expect("attention.value_length", dim, in.integer("attention.value_length", dim));
  in.expect("rope.dimension_count", dim, in.integer("rope.dimension_count", dim));
  const int64_t window = in.integer("attention.sliding_window", 0);
  if (window < in.integer("context_length")) in.expect("attention.sliding_window", 0, window);
  out["attention_bias"] = in.file().find("blk.0.attn_q.bias") != nullptr;
  if (in.architecture().gguf != "qwen3moe") return in.expect("expert_count", 0, in.integer("expert_count", 0));
  out["num_experts"] = in.integer("expert_count");
  out["num_experts_per_tok"] = in.integer("expert_used_count");
  out["moe_intermediate_size"] = in.integer("expert_feed_forward_length");
  out["norm_topk_prob"] = in.flag("expert_weights_norm", true);
}

// The metadata under the keys of config.json.
Json as_config_json(const Reader& in) {
  const GgufTensor* embedding = in.file().find("token_embd.weight");
  require(embedding && embedding->shape.size() == 2, ErrorKind::kInput,
          "{}: tensor token_embd.weight: expected a matrix, got {}", in.all().file(),
          embedding ? shape_text(embedding->shape) : "none");
  const bool latent = in.architecture().gguf == "deepseek2";
  const int64_t mtp = in.integer("nextn_predict_layers", 0);
  Json out = {{"model_type", in.architecture().model_type},
              {"vocab_size", embedding->shape[0]},
              {"hidden_size", in.integer("embedding_length")},
              {"num_hidden_layers", in.integer("block_count") - mtp},
              {"num_nextn_predict_layers", mtp},
              {"num_attention_heads", in.integer("attention.head_count")},
              {"max_position_embeddings", in.integer("context_length")},
              {"rms_norm_eps", in.all().real(in.key("attention.layer_norm_rms_epsilon"))},
              {"rope_theta", in.real("rope.freq_base", 10000)},
              {"rope_scaling", rope_scaling(in, latent)},
              {"tie_word_embeddings", in.file().find("output.weight") == nullptr}};
  // A mixture in all layers needs no dense width.
  out["intermediate_size"] =
      in.architecture().gguf == "qwen3moe" ? in.integer("feed_forward_length", 1) : in.integer("feed_forward_length");
  for (const char* name : {"bos_token_id", "eos_token_id"}) {
    const std::string key = std::string("tokenizer.ggml.") + name;
    if (in.all().has(key)) out[name] = in.all().integer(key);
  }
  if (latent) {
    add_latent_attention(in, out);
    add_deepseek_mixture(in, out);
  } else {
    add_grouped_query(in, out);
  }
  return out;
}

// How far a scaling's divisors are from given ones, relative.
double distance(const RopeScaling& scaling, std::span<const float> factors, double rope_theta) {
  ModelConfig c;
  c.head_dim = 2 * int64_t(factors.size());
  c.rope_theta = rope_theta;
  const std::vector<double> plain = rope_frequencies(c);
  c.rope_scaling = scaling;
  const std::vector<double> scaled = rope_frequencies(c);
  double worst = 0;
  for (size_t i = 0; i < factors.size(); i++)
    worst = std::max(worst, std::abs(plain[i] / scaled[i] / double(factors[i]) - 1));
  return worst;
}

}  // namespace

// With w the wavelength, F the factor: a divisor f between 1 and F means smooth = (1 / f - 1 / F) / (1 - 1 / F), and
// smooth = (L / w - low) / (high - low) is linear in 1 / w: slope L / (high - low), intercept -low / (high - low).
RopeScaling llama3_scaling(std::span<const float> factors, double rope_theta, const std::string& where) {
  constexpr double kPi = std::numbers::pi;
  RopeScaling s;
  s.type = RopeScaling::Type::kLlama3;
  s.low_freq_factor = 1;
  s.high_freq_factor = 4;
  const bool sound = std::all_of(factors.begin(), factors.end(), [](float f) { return f >= 1 && f < 1e6f; });
  require(!factors.empty() && sound, ErrorKind::kInput, "{}: expected factors of 1 or more", where);
  s.factor = *std::max_element(factors.begin(), factors.end());
  const double n = double(factors.size());
  std::vector<std::pair<double, double>> line;  // (1 / w, smooth) where the two scalings mix
  double unscaled = 0;                          // the largest 1 / w of a fully divided frequency
  for (size_t i = 0; i < factors.size(); i++) {
    const double inverse = std::pow(rope_theta, -double(i) / n) / (2 * kPi), f = double(factors[i]);
    if (f > 1 && f < s.factor)
      line.push_back({inverse, (1 / f - 1 / s.factor) / (1 - 1 / s.factor)});
    else if (f == s.factor)
      unscaled = std::max(unscaled, inverse);
  }
  double length = 0;  // L
  if (line.size() >= 2) {
    const auto [x0, y0] = line.front();
    const auto [x1, y1] = line.back();
    const double slope = (y0 - y1) / (x0 - x1), intercept = slope * x0 - y0;
    if (intercept > 0) s.high_freq_factor = std::round((1 + 1 / intercept) * 1e3) / 1e3;
    length = slope * (s.high_freq_factor - 1);
  } else if (line.size() == 1) {
    length = (line[0].second * (s.high_freq_factor - 1) + 1) / line[0].first;
  } else if (unscaled > 0) {
    length = 1 / unscaled * 0.999;
  }
  s.original_max_position_embeddings = int64_t(std::clamp(std::round(length), 1.0, 1e9));
  if (s.factor == 1) return {};
  require(s.high_freq_factor > 1 && distance(s, factors, rope_theta) < 1e-4, ErrorKind::kUnsupported,
          "{}: expected the factors of Llama 3's rotary scaling, got others", where);
  return s;
}

ModelConfig gguf_model_config(const GgufFile& file) {
  const Reader in(file);
  const std::string where = in.all().file();
  ModelConfig config = config_of(as_config_json(in), where);
  const GgufTensor* factors = file.find("rope_freqs.weight");
  if (!factors) return config;
  require(factors->type->name == "F32" && int64_t(factors->bytes.size() / 4) == config.rope_dim() / 2,
          ErrorKind::kInput, "{}: tensor rope_freqs.weight: expected {} numbers of F32, got shape {} of {}", where,
          config.rope_dim() / 2, shape_text(factors->shape), factors->type->name);
  require(config.rope_scaling.type == RopeScaling::Type::kNone, ErrorKind::kUnsupported,
          "{}: tensor rope_freqs.weight: expected none beside rope.scaling.type", where);
  std::vector<float> values(factors->bytes.size() / 4);
  std::memcpy(values.data(), factors->bytes.data(), factors->bytes.size());
  config.rope_scaling = llama3_scaling(values, config.rope_theta, where + ": tensor rope_freqs.weight");
  return config;
}

}  // namespace tenth
