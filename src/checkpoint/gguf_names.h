// Names and arrangement of tensors: Hugging Face's and those of GGUF files (llama.cpp's converter).
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace tenth {

// "model.layers.3.self_attn.q_proj.weight" <-> "blk.3.attn_q.weight"; nothing for a name that is not in the table. What
// GGUF arranges otherwise is not in it: experts (stacked: see expert_stack), kv_b_proj (split in two) and rope_freqs.
std::optional<std::string> gguf_name_of(std::string_view hugging_face);
std::optional<std::string> hugging_face_name_of(std::string_view gguf);

// "blk.3.ffn_gate_exps.weight" -> {3, "gate"}: a stack (E, rows, columns) of the experts' gate_proj.weight in layer 3.
struct ExpertStack {
  int64_t layer;
  std::string projection;  // gate, up or down
};
std::optional<ExpertStack> expert_stack(std::string_view gguf);

// "blk.3.attn_k_b.weight" with stem "attn_k_b" -> 3
std::optional<int64_t> layer_of(std::string_view gguf, std::string_view stem);

}  // namespace tenth
