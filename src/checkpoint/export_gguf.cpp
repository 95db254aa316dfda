#include "checkpoint/export_gguf.h"

#include <memory>

#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/row_stream.h"

namespace tenth {
namespace {

const GgufTensorType& type_named(std::string_view name) {
  const GgufTensorType* type = find_gguf_type(name);
  require(type && (!type->block || can_quantize(*type->block)), ErrorKind::kInternal, "no tensors are written as {}",
          name);
  return *type;
}

// The type of one tensor.
const GgufTensorType& type_for(std::string_view name, size_t rank, int64_t columns, const std::string& wanted,
                               bool tied) {
  if (rank < 2 || name.find("ffn_gate_inp") != name.npos) return type_named("F32");
  const bool head = name == "output.weight" || (tied && name == "token_embd.weight");
  const GgufTensorType* type = &type_named(head && (wanted == "Q4_0" || wanted == "Q4_K") ? "Q6_K" : wanted);
  if (columns % type->elements != 0) type = &type_named("Q8_0");
  if (columns % type->elements != 0) type = &type_named("F16");
  return *type;
}

// general.file_type of a file that is mostly of a type (llama.h).
uint32_t file_type(std::string_view type) {
  if (type == "F32") return 0;
  if (type == "F16") return 1;
  if (type == "Q4_0") return 2;
  if (type == "Q8_0") return 7;
  if (type == "Q4_K") return 14;
  if (type == "Q6_K") return 18;
  return 32;  // BF16
}

// A tensor of the file: readers one below the other, and the bytes of the source that are done with once it is written.
struct Planned {
  std::string name;
  std::vector<int64_t> shape;
  RowReader rows;
  std::vector<const SourceTensor*> from;
};

class Plan {
 public:
  Plan(const WeightSource& source) : source_(source), config_(source.config()) {
    add("model.embed_tokens.weight");
    for (int64_t layer = 0; layer < config_.num_hidden_layers + config_.num_nextn_predict_layers; layer++)
      add_layer(layer);
    add("model.norm.weight");
    if (!config_.tie_word_embeddings) add("lm_head.weight");
    if (const auto factors = std::make_shared<std::vector<float>>(rope_factors(config_)); !factors->empty()) {
      tensors.push_back({"rope_freqs.weight",
                         {int64_t(factors->size())},
                         {1, int64_t(factors->size()),
                          [factors](int64_t, int64_t, float* v) { std::copy(factors->begin(), factors->end(), v); }},
                         {}});
    }
  }

  std::vector<Planned> tensors;

 private:
  void add(const std::string& name) {
    const SourceTensor& t = source_.at(name);
    Planned planned{gguf_name_of(name).value(), t.shape, rows_of(t), {&t}};
    const bool q = name.ends_with("self_attn.q_proj.weight"), k = name.ends_with("self_attn.k_proj.weight");
    if (config_.model_type == "llama" && (q || k)) {
      const int64_t heads = q ? config_.num_attention_heads : config_.num_key_value_heads, dim = t.rows() / heads;
      planned.rows.read = [&t, dim](int64_t begin, int64_t end, float* values) {
        for (int64_t r = begin; r < end; r++, values += t.columns()) {
          const int64_t head = r / dim, i = r % dim / 2, half = r % 2;
          const int64_t row = head * dim + half * (dim / 2) + i;
          t.read_rows(row, row + 1, values);
        }
      };
    }
    tensors.push_back(std::move(planned));
  }

  void add_layer(int64_t layer) {
    const std::string ours = fmt::format("model.layers.{}.", layer);
    for (const char* name : {"input_layernorm.weight", "post_attention_layernorm.weight"}) add(ours + name);
    for (const char* name : {"q_proj.weight", "q_proj.bias", "q_norm.weight", "q_a_proj.weight", "q_a_layernorm.weight",
                             "q_b_proj.weight", "k_proj.weight", "k_proj.bias", "k_norm.weight", "v_proj.weight",
                             "v_proj.bias", "kv_a_proj_with_mqa.weight", "kv_a_layernorm.weight", "o_proj.weight"}) {
      if (source_.find(ours + "self_attn." + name)) add(ours + "self_attn." + name);
    }
    if (config_.mla()) add_latent_expansion(layer, source_.at(ours + "self_attn.kv_b_proj.weight"));
    for (const char* name :
         {"gate_proj.weight", "up_proj.weight", "down_proj.weight", "gate.weight", "gate.e_score_correction_bias",
          "shared_experts.gate_proj.weight", "shared_experts.up_proj.weight", "shared_experts.down_proj.weight"}) {
      if (source_.find(ours + "mlp." + name)) add(ours + "mlp." + name);
    }
    // The multi-token prediction module, a block behind the last; embedding and head are the model's own.
    const bool prediction = layer >= config_.num_hidden_layers;
    if (prediction) {
      for (const char* name : {"enorm.weight", "hnorm.weight", "eh_proj.weight", "shared_head.norm.weight"})
        add(ours + name);
    }
    if (config_.n_routed_experts && (prediction || config_.sparse_layer[size_t(layer)])) {
      for (const char* projection : {"gate", "up", "down"}) add_experts(layer, projection);
    }
  }

  // attn_k_b (H, latent, nope) and attn_v_b (H, value, latent): the head's rows of keys, transposed, and of values.
  void add_latent_expansion(int64_t layer, const SourceTensor& t) {
    const int64_t heads = config_.num_attention_heads, nope = config_.qk_nope_head_dim, value = config_.v_head_dim;
    const int64_t latent = config_.kv_lora_rank, all = nope + value;
    require(t.rows() == heads * all && t.columns() == latent, ErrorKind::kInput,
            "{}: tensor {}: expected shape ({}, {}), got ({}, {})", t.file, t.name, heads * all, latent, t.rows(),
            t.columns());
    const auto keys = [&t, nope, latent, all](int64_t begin, int64_t end, float* values) {
      std::vector<float> head(size_t(nope * latent));  // (nope, latent)
      for (int64_t h = begin / latent; h * latent < end; h++) {
        t.read_rows(h * all, h * all + nope, head.data());
        const int64_t from = std::max(begin, h * latent), to = std::min(end, (h + 1) * latent);
        for (int64_t r = from; r < to; r++)
          for (int64_t i = 0; i < nope; i++) *values++ = head[size_t(i * latent + r - h * latent)];
      }
    };
    const auto rows = [&t, nope, value, latent, all](int64_t begin, int64_t end, float* values) {
      for (int64_t r = begin; r < end; r++, values += latent) {
        const int64_t row = r / value * all + nope + r % value;
        t.read_rows(row, row + 1, values);
      }
    };
    const auto name = [&](const char* stem) { return fmt::format("blk.{}.{}.weight", layer, stem); };
    tensors.push_back({name("attn_k_b"), {heads, latent, nope}, {heads * latent, nope, keys}, {&t}});
    tensors.push_back({name("attn_v_b"), {heads, value, latent}, {heads * value, latent, rows}, {&t}});
  }

  void add_experts(int64_t layer, const char* projection) {
    std::vector<const SourceTensor*> experts;
    for (int64_t e = 0; e < config_.n_routed_experts; e++)
      experts.push_back(
          &source_.at(fmt::format("model.layers.{}.mlp.experts.{}.{}_proj.weight", layer, e, projection)));
    const int64_t rows = experts[0]->rows(), columns = experts[0]->columns();
    for (const SourceTensor* t : experts) {
      require(t->rows() == rows && t->columns() == columns, ErrorKind::kInput,
              "{}: tensor {}: expected shape ({}, {}), as expert 0 has it, got ({}, {})", t->file, t->name, rows,
              columns, t->rows(), t->columns());
    }
    const auto read = [experts, rows, columns](int64_t begin, int64_t end, float* values) {
      for (int64_t r = begin; r < end;) {
        const int64_t e = r / rows, to = std::min(end, (e + 1) * rows);
        experts[size_t(e)]->read_rows(r - e * rows, to - e * rows, values);
        values += (to - r) * columns;
        r = to;
      }
    };
    const int64_t count = int64_t(experts.size());
    tensors.push_back({fmt::format("blk.{}.ffn_{}_exps.weight", layer, projection),
                       {count, rows, columns},
                       {count * rows, columns, read},
                       experts});
  }

  const WeightSource& source_;
  const ModelConfig& config_;
};

std::vector<GgufEntry> metadata_of(const WeightSource& source, const GgufExport& options) {
  std::vector<GgufEntry> entries = {{"general.architecture", gguf_architecture(source.config())},
                                    {"general.type", std::string("model")},
                                    {"general.name", options.name},
                                    {"general.file_type", file_type(options.type)},
                                    {"general.quantization_version", uint32_t(2)}};
  const auto append = [&](std::vector<GgufEntry> more) { entries.insert(entries.end(), more.begin(), more.end()); };
  append(gguf_config_entries(source.config()));
  append(options.vocabulary);
  if (options.vocabulary.empty()) entries.push_back({"tokenizer.ggml.model", std::string("none")});
  return entries;
}

}  // namespace

void export_gguf(const WeightSource& source, const Path& file, const GgufExport& options) {
  const Plan plan(source);
  std::vector<GgufTensorToWrite> tensors;
  uint64_t total = 0, done = 0;
  for (const Planned& planned : plan.tensors) {
    const GgufTensorType& type = type_for(planned.name, planned.shape.size(), planned.shape.back(), options.type,
                                          source.config().tie_word_embeddings);
    const RowReader& rows = planned.rows;
    const uint64_t bytes = uint64_t(rows.rows * (rows.columns / type.elements) * type.bytes);
    total += bytes;
    tensors.push_back({planned.name, &type, planned.shape, [&, bytes](const ByteSink& sink) {
                         stream_rows(rows, type, planned.name, sink);
                         for (const SourceTensor* t : planned.from) t->give_back();
                         done += bytes;
                         if (options.progress) options.progress(done, total);
                       }});
  }
  write_gguf(file, metadata_of(source, options), tensors);
}

}  // namespace tenth
