#include "checkpoint/gguf_names.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>

namespace tenth {
namespace {

struct Pair {
  std::string_view ours, theirs;
};

constexpr Pair kModel[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};

// Below "model.layers.N." and "blk.N.".
constexpr Pair kLayer[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
    {"self_attn.kv_b_proj.weight", "attn_kv_b.weight"},  // of older files
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"},
    {"enorm.weight", "nextn.enorm.weight"},
    {"hnorm.weight", "nextn.hnorm.weight"},
    {"eh_proj.weight", "nextn.eh_proj.weight"},
    {"shared_head.norm.weight", "nextn.shared_head_norm.weight"},
    {"shared_head.head.weight", "nextn.shared_head_head.weight"},
    {"embed_tokens.weight", "nextn.embed_tokens.weight"},
};

struct InLayer {
  int64_t layer;
  std::string_view rest;
};

// "<prefix>12.rest"
std::optional<InLayer> in_layer(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
  InLayer found{};
  const auto [stop, error] = std::from_chars(begin, end, found.layer);
  const bool plain = error == std::errc() && stop != end && *stop == '.' && found.layer >= 0 &&
                     (*begin != '0' || stop == begin + 1);  // one spelling a number
  if (!plain) return std::nullopt;
  found.rest = {stop + 1, size_t(end - stop - 1)};
  return found;
}

std::optional<std::string> translated(std::string_view name, std::string_view prefix, std::string_view other_prefix,
                                      std::string_view Pair::*from, std::string_view Pair::*to) {
  for (const Pair& pair : kModel) {
    if (name == pair.*from) return std::string(pair.*to);
  }
  const auto place = in_layer(name, prefix);
  if (!place) return std::nullopt;
  for (const Pair& pair : kLayer) {
    if (place->rest == pair.*from) return fmt::format("{}{}.{}", other_prefix, place->layer, pair.*to);
  }
  return std::nullopt;
}

constexpr std::string_view kOurLayer = "model.layers.", kTheirLayer = "blk.";

}  // namespace

std::optional<std::string> gguf_name_of(std::string_view name) {
  return translated(name, kOurLayer, kTheirLayer, &Pair::ours, &Pair::theirs);
}

std::optional<std::string> hugging_face_name_of(std::string_view name) {
  return translated(name, kTheirLayer, kOurLayer, &Pair::theirs, &Pair::ours);
}

std::optional<ExpertStack> expert_stack(std::string_view name) {
  const auto place = in_layer(name, kTheirLayer);
  if (!place) return std::nullopt;
  for (const std::string projection : {"gate", "up", "down"}) {
    if (place->rest == "ffn_" + projection + "_exps.weight") return ExpertStack{place->layer, projection};
  }
  return std::nullopt;
}

std::optional<int64_t> layer_of(std::string_view name, std::string_view stem) {
  const auto place = in_layer(name, kTheirLayer);
  if (!place || place->rest != std::string(stem) + ".weight") return std::nullopt;
  return place->layer;
}

}  // namespace tenth
