// tenth inspect: what a model or a safetensors file is, without running it.
#include <cstdio>

#include "base/json.h"
#include "base/text.h"
#include "base/threads.h"
#include "checkpoint/frozen_weights.h"
#include "checkpoint/memory_check.h"
#include "checkpoint/model_folder.h"
#include "checkpoint/weight_source.h"
#include "cli/commands.h"
#include "cli/idle_backend.h"
#include "cli/model_options.h"
#include "cli/open_model.h"
#include "eval/graded.h"
#include "hub/cache.h"
#include "run/recipe_model.h"
#include "tokenizer/tokenizer.h"
#include "train/memory.h"
#include "train/table.h"

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

// Weights without memory: a model of any size can be put together, to see whether a file fits it.
class ShapesOnly final : public IdleBackend {
 public:
  ~ShapesOnly() override { free_pool(); }

 protected:
  void* allocate_raw(size_t) override { return this; }
  void free_raw(void*, size_t) override {}
};

// What the weights take in the file, by encoding.
void print_encodings(const WeightSource& source) {
  struct Sum {
    int64_t tensors = 0, parameters = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Sum> sums;
  Sum all;
  for (const SourceTensor& tensor : source.tensors()) {
    Sum& sum = sums[std::string(tensor.encoding)];
    for (Sum* one : {&sum, &all}) {
      one->tensors++;
      one->parameters += tensor.rows() * tensor.columns();
      one->bytes += tensor.file_bytes();
    }
  }
  std::vector<Row> rows = {{"stored as", "tensors", "parameters", "bytes"}};
  const auto add = [&](const std::string& name, const Sum& sum) {
    rows.push_back({name, fmt::format("{}", sum.tensors), short_number(double(sum.parameters)),
                    short_number(double(sum.bytes)) + "B"});
  };
  for (const auto& [name, sum] : sums) add(name, sum);
  if (sums.size() > 1) add("together", all);
  std::fputs(text_table(rows).c_str(), stdout);
}

void inspect_model(const Path& path) {
  const WeightSource source = WeightSource::open(path);
  source.check_size();
  ShapesOnly nowhere;
  ComputeType compute = source.compute_type();
  compute.frozen = true;
  const auto model = std::make_unique<Transformer>(source.config(), nowhere, compute);
  check_weights(source, *model);
  const ModelConfig& c = model->config();
  const ModelSize size = model_size(c);
  std::printf("%s: %s, vocabulary %ld, hidden %ld, %ld layers, %ld heads, context %ld\n", path.string().c_str(),
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
  const double cache = double(cache_bytes(c, DType::kF32, 1)), n = double(size.parameters);
  std::printf("parameters: %s, active %s (multiplied per token, multi-token prediction included)\n",
              short_number(n).c_str(), short_number(double(size.active_parameters)).c_str());
  const int64_t stored = frozen_weight_bytes(*model, source, {source.compute_type(), true, {}});
  std::printf("memory to run, weights as stored: %sB\n", short_number(double(stored)).c_str());
  std::printf("memory in f32: weights %sB, training state (weights, gradients, two moments) %sB, cache %sB a token\n",
              short_number(4 * n).c_str(), short_number(16 * n).c_str(), short_number(cache).c_str());
  const int64_t context = std::min<int64_t>(c.max_position_embeddings, 4096);
  std::printf("training FLOPs a token at a context of %ld: %s\n", long(context),
              short_number(size.training_flops(context)).c_str());
  print_encodings(source);
  const bool vocabulary = source.gguf() ? source.gguf()->text("tokenizer.ggml.model", "none") != "none"
                                        : std::filesystem::exists(path / "tokenizer.json");
  if (!vocabulary) return;
  const Tokenizer tokenizer = open_tokenizer(path);
  check_vocabulary(tokenizer, c, path);
  std::printf("tokenizer: %d tokens%s\n", tokenizer.vocab_size(),
              tokenizer.chat_template().empty() ? "" : ", with a chat template");
}

struct InspectOptions {
  std::string path, dtype, optimizer;
  int64_t batch_tokens = 0, context = 0;
  bool memory = false;
};

// A recipe's own values, or those of a folder; what the command line gives wins.
MemoryPlan memory_plan(const InspectOptions& options, const Recipe* recipe, const ModelConfig& config) {
  MemoryPlan plan;
  plan.threads = thread_count();
  plan.batch_tokens = recipe ? recipe->integer("train.batch_tokens") : 4096;
  plan.context = std::min<int64_t>(config.max_position_embeddings, recipe ? config.max_position_embeddings : 4096);
  if (recipe) {
    plan.compute = compute_type_of(recipe->text("run.dtype"));
    plan.muon = recipe->text("optim.optimizer") == "muon";
    plan.mtp = recipe->real("train.mtp_weight") != 0;
    plan.recompute = recipe->flag("train.recompute");
    plan.checkpoints = recipe->integer("checkpoint.every") > 0;
  }
  if (options.batch_tokens) plan.batch_tokens = options.batch_tokens;
  if (options.context) plan.context = options.context;
  if (!options.dtype.empty()) plan.compute = compute_type_of(options.dtype);
  if (!options.optimizer.empty()) plan.muon = options.optimizer == "muon";
  return plan;
}

void inspect_memory(const InspectOptions& options) {
  const bool model = std::filesystem::is_directory(options.path) || is_gguf(options.path);
  const std::optional<Recipe> recipe = model ? std::nullopt : std::optional(Recipe::load(options.path));
  const ModelConfig config = model ? read_model_config(options.path) : recipe_model(*recipe);
  const MemoryPlan plan = memory_plan(options, recipe ? &*recipe : nullptr, config);
  const MemoryPrediction prediction = predict_memory(config, plan);
  const double tokens = double(plan.batch_tokens);
  std::printf("training %s, %s tokens a batch, sequences up to %s, %s, %s%s\n", printable(options.path).c_str(),
              short_number(tokens).c_str(), short_number(double(plan.context)).c_str(),
              plan.compute == DType::kBF16 ? "bf16" : "f32", plan.muon ? "Muon" : "AdamW",
              plan.recompute ? ", recompute" : "");
  const auto size = [](double bytes) { return short_number(bytes) + "B"; };
  std::vector<Row> rows = {{"from step to step", "bytes"}};
  for (const MemoryLine& line : prediction.state) rows.push_back({line.what, size(line.bytes)});
  rows.push_back({"together", size(prediction.state_bytes())});
  std::fputs((text_table(rows) + "\n").c_str(), stdout);
  rows = {{"saved for the backward pass", "layers", "bytes a token and layer", "bytes"}};
  for (const MemoryLine& line : prediction.activations)
    rows.push_back(
        {line.what, fmt::format("{}", line.count), size(line.bytes / double(line.count) / tokens), size(line.bytes)});
  rows.push_back({"together", "", size(prediction.activation_bytes() / tokens), size(prediction.activation_bytes())});
  std::fputs((text_table(rows) + "\n").c_str(), stdout);
  rows = {{"on top", "bytes"},
          {"logits' chunk, or gradients in flight", size(prediction.in_flight)},
          {"Muon's workspace, after the backward pass", size(prediction.muon_workspace)},
          {"copy of the state for a checkpoint", size(prediction.checkpoint)},
          {"peak", size(prediction.peak())}};
  std::fputs(text_table(rows).c_str(), stdout);
}

}  // namespace

void add_inspect_commands(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("inspect", "What a model is: shapes, parameters, memory, FLOPs, how its weights are stored");
  auto options = std::make_shared<InspectOptions>();
  command
      ->add_option(
          "path", options->path,
          "Model folder, .gguf or .safetensors file, or name that was pulled; with --memory a model or a recipe")
      ->required();
  CLI::Option* memory = command->add_flag("--memory", options->memory, "Predict what training it takes of memory");
  const auto number = [&](const char* name, int64_t& value, const char* meaning) {
    command->add_option(name, value, meaning)->check(CLI::Range(int64_t(1), int64_t(1) << 30))->needs(memory);
  };
  number("--batch-tokens", options->batch_tokens, "Tokens of a batch; default: the recipe's, else 4096");
  number("--context", options->context, "Longest sequence; default: the model's, of a folder at most 4096");
  command->add_option("--dtype", options->dtype, "f32 or bf16; default: the recipe's, else f32")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->needs(memory);
  command->add_option("--optimizer", options->optimizer, "muon or adamw; default: the recipe's, else muon")
      ->check(CLI::IsMember({"muon", "adamw"}))
      ->needs(memory);
  command->footer("Example: tenth inspect runs/demo/model; tenth inspect --memory recipes/demo.toml --dtype bf16");
  command->callback([options] {
    options->path = find_model(options->path).string();
    if (options->memory)
      inspect_memory(*options);
    else if (std::filesystem::is_directory(options->path) || is_gguf(options->path))
      inspect_model(options->path);
    else
      inspect_file(options->path);
  });
}

}  // namespace tenth
