// tenth inspect: what a model folder or a safetensors file is, without running it.
#include <cstdio>

#include "base/json.h"
#include "base/text.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"
#include "cli/commands.h"
#include "eval/graded.h"
#include "nn/arch/architecture.h"
#include "tokenizer/tokenizer.h"

namespace tenth {
namespace {

std::string shape_of(const StoredTensor& tensor) {
  std::string text;
  for (int64_t dim : tensor.shape) text += (text.empty() ? "" : ", ") + std::to_string(dim);
  return "(" + text + ")";
}

void inspect_file(const Path& path) {
  const SafetensorsFile file(path);
  int64_t bytes = 0;
  for (const StoredTensor& tensor : file.tensors()) {
    std::printf("%-60s %-8s %s\n", printable(tensor.name).c_str(), std::string(tensor.dtype).c_str(),
                shape_of(tensor).c_str());
    bytes += int64_t(tensor.bytes.size());
  }
  std::printf("%zu tensors, %sB\n", file.tensors().size(), short_number(double(bytes)).c_str());
}

void inspect_folder(const Path& folder) {
  // Loading checks every name and shape against the architecture.
  const auto model = load_model(folder, get_backend("cpu"), DType::kF32);
  const ModelConfig& c = model->config();
  const ModelSize size = model_size(c);
  std::printf("%s: %s, vocabulary %ld, hidden %ld, %ld layers, %ld heads, context %ld\n", folder.string().c_str(),
              c.model_type.c_str(), long(c.vocab_size), long(c.hidden_size), long(c.num_hidden_layers),
              long(c.num_attention_heads), long(c.max_position_embeddings));
  if (c.mla()) {
    std::printf("attention: MLA, latent %ld + rotary %ld, heads %ld + %ld | %ld%s\n", long(c.kv_lora_rank),
                long(c.qk_rope_head_dim), long(c.qk_nope_head_dim), long(c.qk_rope_head_dim), long(c.v_head_dim),
                c.q_lora_rank ? fmt::format(", query latent {}", c.q_lora_rank).c_str() : "");
  } else {
    std::printf("attention: grouped-query, %ld key-value heads of %ld\n", long(c.num_key_value_heads),
                long(c.head_dim));
  }
  if (c.n_routed_experts) {
    std::printf("mixture: %ld routed experts of %ld, %d a token, %ld shared, in %zu layers\n", long(c.n_routed_experts),
                long(c.moe_intermediate_size), c.gate.experts_per_token, long(c.n_shared_experts),
                model->mixtures().size());
  }
  if (c.num_nextn_predict_layers) std::printf("multi-token prediction: 1 module\n");
  const int64_t row = c.mla() ? c.kv_lora_rank + c.qk_rope_head_dim : 2 * c.num_key_value_heads * c.head_dim;
  const double cache = 4.0 * double(row * (c.num_hidden_layers + c.num_nextn_predict_layers)),
               n = double(size.parameters);
  std::printf("parameters: %s, active %s (multiplied per token, multi-token prediction included)\n",
              short_number(n).c_str(), short_number(double(size.active_parameters)).c_str());
  std::printf("memory in f32: weights %sB, training state (weights, gradients, two moments) %sB, cache %sB a token\n",
              short_number(4 * n).c_str(), short_number(16 * n).c_str(), short_number(cache).c_str());
  const int64_t context = std::min<int64_t>(c.max_position_embeddings, 4096);
  std::printf("training FLOPs a token at a context of %ld: %s\n", long(context),
              short_number(size.training_flops(context)).c_str());
  if (!std::filesystem::exists(folder / "tokenizer.json")) return;
  const Tokenizer tokenizer = Tokenizer::load(folder);
  check_vocabulary(tokenizer, c, folder);
  std::printf("tokenizer: %d tokens%s\n", tokenizer.vocab_size(),
              tokenizer.chat_template().empty() ? "" : ", with a chat template");
}

}  // namespace

void add_inspect_commands(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("inspect", "What a model folder or safetensors file is: shapes, parameters, memory, FLOPs");
  auto path = std::make_shared<std::string>();
  command->add_option("path", *path, "Model folder or .safetensors file")->required();
  command->footer("Example: tenth inspect runs/demo/model");
  command->callback([path] {
    if (std::filesystem::is_directory(*path))
      inspect_folder(*path);
    else
      inspect_file(*path);
  });
}

}  // namespace tenth
