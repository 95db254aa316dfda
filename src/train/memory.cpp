#include "train/memory.h"

#include <algorithm>

#include "ops/logprobs.h"
#include "tensor/storage.h"

namespace tenth {
namespace {

constexpr int64_t kPanel = 32;                      // columns to which packed weights are filled up, about
constexpr int64_t kLargeMatrix = int64_t(1) << 20;  // elements from which Muon takes matrices one by one
constexpr double kG = 4;                            // bytes of master weights, gradients, moments, statistics

double block(double bytes) { return bytes > 0 ? double(block_bytes(size_t(bytes))) : 0; }

// Weights, one call a Weight of nn/parameter.h.
class Weights {
 public:
  Weights(const MemoryPlan& plan) : plan_(plan), size_(double(size_of(plan.compute))) {}

  // Hidden matrices, and stacks of them: Muon's.
  void matrix(int64_t outputs, int64_t inputs, int64_t stack = 1, int64_t parts = 1) {
    const double elements = double(stack * outputs * inputs);
    trained(elements, plan_.muon ? 1 : 2);
    computed(elements);
    packed += block(double(stack * round_up(outputs) * inputs) * size_);
    largest(outputs / parts, inputs);
  }
  void head(int64_t outputs, int64_t inputs, bool is_embedding) {
    const double elements = double(outputs * inputs);
    if (!is_embedding) trained(elements, 2), computed(elements);
    packed += block(double(round_up(outputs) * inputs) * size_);
  }
  void embedding(int64_t rows, int64_t columns) {
    trained(double(rows * columns), 2);
    computed(double(rows * columns));
  }
  void router(int64_t experts, int64_t inputs, bool bias) {
    trained(double(experts * inputs), 2);
    packed += block(double(round_up(experts) * inputs) * kG);
    if (bias) parameters += block(double(experts) * kG);
  }
  void vector(int64_t elements) { trained(double(elements), 2); }

  double parameters = 0, copies = 0, packed = 0, gradients = 0, moments = 0;
  double workspace() const {
    const auto one = [](double elements, double side) {
      return 2 * block(kG * elements) + 2 * block(kG * side * side);
    };
    if (!plan_.muon) return 0;
    return std::max(one(large_, large_side_), plan_.threads * one(small_, small_side_));
  }

 private:
  static int64_t round_up(int64_t n) { return (n + kPanel - 1) / kPanel * kPanel; }
  void trained(double elements, int moment_count) {
    parameters += block(kG * elements);
    gradients += block(kG * elements);
    moments += moment_count * block(kG * elements);
  }
  void computed(double elements) {
    if (size_ != kG) copies += block(size_ * elements);
  }
  void largest(int64_t rows, int64_t columns) {
    const bool large = rows * columns >= kLargeMatrix;
    double &elements = large ? large_ : small_, &side = large ? large_side_ : small_side_;
    elements = std::max(elements, double(rows * columns));
    side = std::max(side, double(std::min(rows, columns)));
  }

  const MemoryPlan& plan_;
  double size_, large_ = 0, large_side_ = 0, small_ = 0, small_side_ = 0;
};

// Tensors of N rows that the tape keeps, by their columns: results of the ops, which are the inputs of others.
struct Saved {
  std::vector<int64_t> wide;      // columns in the compute type
  std::vector<int64_t> narrow{};  // columns of 4 bytes: f32 statistics, i32 indices

  Saved& operator+=(const Saved& other) {
    wide.insert(wide.end(), other.wide.begin(), other.wide.end());
    narrow.insert(narrow.end(), other.narrow.begin(), other.narrow.end());
    return *this;
  }
  double bytes(const MemoryPlan& plan) const {
    double sum = 0;
    for (int64_t columns : wide) sum += block(double(plan.batch_tokens * columns) * double(size_of(plan.compute)));
    for (int64_t columns : narrow) sum += block(double(plan.batch_tokens * columns) * kG);
    return sum;
  }
};

// add_rms_norm twice: the sum, the normed sum, one number a row. The first block of a stack has nothing to add.
Saved norms(const ModelConfig& c, bool first) {
  const int64_t d = c.hidden_size;
  return first ? Saved{{d, d, d}, {1, 1}} : Saved{{d, d, d, d}, {1, 1}};
}

Saved attention(const ModelConfig& c) {
  const int64_t h = c.num_attention_heads, d = c.hidden_size, q = h * c.query_dim(), out = h * c.value_dim();
  if (!c.mla()) {
    const int64_t kv = c.num_key_value_heads * c.head_dim;
    Saved saved{{q, q, kv, kv, kv, out, d}, {h}};  // before and after rotation
    if (c.qk_norm) saved += {{q, kv}, {h, c.num_key_value_heads}};
    return saved;
  }
  Saved saved{{q, q, c.kv_lora_rank + c.qk_rope_head_dim, c.kv_lora_rank, c.qk_rope_head_dim,
               h * (c.qk_nope_head_dim + c.v_head_dim), out, d},
              {1, h}};
  if (c.q_lora_rank) saved += {{c.q_lora_rank, c.q_lora_rank}, {1}};
  return saved;
}

Saved mlp(const ModelConfig& c, int64_t width) { return {{2 * width, width, c.hidden_size}}; }

Saved mixture(const ModelConfig& c, DType compute) {
  const int64_t d = c.hidden_size, k = c.gate.experts_per_token, f = c.moe_intermediate_size, e = c.n_routed_experts;
  // Logits, scores, weights, experts, rows; dispatched, gate and up, hidden, down, combined.
  Saved saved{{k * d, 2 * k * f, k * f, k * d, d}, {e, e, k, k, k}};
  if (compute != DType::kF32) saved.narrow.push_back(d);                                     // the gate's input in f32
  if (c.n_shared_experts) saved += mlp(c, c.n_shared_experts * f), saved.wide.push_back(d);  // and their sum
  return saved;
}

void add_block_weights(const ModelConfig& c, bool sparse, Weights& w) {
  const int64_t d = c.hidden_size, h = c.num_attention_heads;
  w.vector(d), w.vector(d);
  if (c.mla()) {
    if (c.q_lora_rank)
      w.matrix(c.q_lora_rank, d), w.vector(c.q_lora_rank), w.matrix(h * c.query_dim(), c.q_lora_rank);
    else
      w.matrix(h * c.query_dim(), d);
    w.matrix(c.kv_lora_rank + c.qk_rope_head_dim, d), w.vector(c.kv_lora_rank);
    w.matrix(h * (c.qk_nope_head_dim + c.v_head_dim), c.kv_lora_rank);
  } else {
    const int64_t kv = c.num_key_value_heads * c.head_dim;
    w.matrix(h * c.head_dim, d), w.matrix(kv, d), w.matrix(kv, d);
    if (c.attention_bias) w.vector(h * c.head_dim), w.vector(kv), w.vector(kv);
    if (c.qk_norm) w.vector(c.head_dim), w.vector(c.head_dim);
  }
  w.matrix(d, h * c.value_dim());
  const auto feed_forward = [&](int64_t width, int64_t stack) {
    w.matrix(2 * width, d, stack, 2);  // gate over up
    w.matrix(d, width, stack);
  };
  if (!sparse) return feed_forward(c.intermediate_size, 1);
  w.router(c.n_routed_experts, d, c.gate_bias);
  feed_forward(c.moe_intermediate_size, c.n_routed_experts);
  if (c.n_shared_experts) feed_forward(c.n_shared_experts * c.moe_intermediate_size, 1);
}

std::vector<MemoryLine> state_lines(const ModelConfig& c, const MemoryPlan& plan, double& workspace) {
  Weights w(plan);
  const int64_t d = c.hidden_size;
  w.embedding(c.vocab_size, d);
  for (int64_t layer = 0; layer < c.num_hidden_layers; layer++)
    add_block_weights(c, c.n_routed_experts > 0 && c.sparse_layer[size_t(layer)], w);
  w.vector(d);
  w.head(c.vocab_size, d, c.tie_word_embeddings);
  if (c.num_nextn_predict_layers) {
    w.vector(d), w.vector(d), w.vector(d), w.matrix(d, 2 * d);
    add_block_weights(c, c.n_routed_experts > 0, w);
  }
  int64_t positions = 256;
  while (positions < plan.context) positions *= 2;
  workspace = w.workspace();
  return {{"parameters (f32)", 1, w.parameters},
          {"compute copies", 1, w.copies},
          {"packed weights", 1, w.packed},
          {"gradients (f32)", 1, w.gradients},
          {plan.muon ? "moments (Muon: one; AdamW: two)" : "moments (AdamW: two)", 1, w.moments},
          {"rotary table", 1, block(kG * double(positions * c.rope_dim()))}};
}

std::vector<MemoryLine> activation_lines(const ModelConfig& c, const MemoryPlan& plan, bool mtp) {
  const int64_t d = c.hidden_size, layers = c.num_hidden_layers;
  int64_t sparse = 0;
  for (int64_t layer = 0; layer < layers; layer++) sparse += c.n_routed_experts > 0 && c.sparse_layer[size_t(layer)];
  const Saved ends{{d, d}, {1, 1, 1, 1}};  // final norm; log-probabilities, their sums, targets
  std::vector<MemoryLine> lines;
  const auto add = [&](const std::string& what, int64_t count, const Saved& saved) {
    if (count > 0) lines.push_back({what, count, double(count) * saved.bytes(plan)});
  };
  add("embedding", 1, {{d}, {1, 1}});
  add("norms and residual, first block", 1, norms(c, true));
  add("norms and residual", layers - 1, norms(c, false));
  add(c.mla() ? "latent attention" : "attention", layers, attention(c));
  add("dense MLP", layers - sparse, mlp(c, c.intermediate_size));
  if (sparse) add("mixture", sparse, mixture(c, plan.compute));
  add("final norm, log-probabilities", 1, ends);
  if (!mtp) return lines;
  Saved module{{d, d, d, 2 * d, d}, {1, 1, 1}};  // embedding, two norms, both joined, projected
  module += norms(c, true), module += attention(c), module += ends;
  module += c.n_routed_experts ? mixture(c, plan.compute) : mlp(c, c.intermediate_size);
  add("multi-token prediction", 1, module);
  return lines;
}

// The backward pass begins with the head, then the feed-forward of the last block, while all else is still saved.
double in_flight_bytes(const ModelConfig& c, const MemoryPlan& plan, bool mtp) {
  const double n = double(plan.batch_tokens), size = double(size_of(plan.compute)), d = double(c.hidden_size);
  const double rows = double(std::min(plan.batch_tokens, ops::logprob_chunk_rows(c.vocab_size)));
  const double logits = rows * double(c.vocab_size);
  const double head = block(kG * logits) + (size != kG ? block(size * logits) : 0) + block(n * d * size);
  const bool sparse = c.n_routed_experts > 0 && (mtp || c.sparse_layer.back());
  const double k = sparse ? c.gate.experts_per_token : 1;
  const double width = double(sparse ? c.moe_intermediate_size : c.intermediate_size);
  // Gradients of the sum and of the two branches; of the down projection's result and of its input.
  return std::max(head, 3 * block(n * d * size) + block(n * k * d * size) + block(n * k * width * size));
}

double sum_of(const std::vector<MemoryLine>& lines) {
  double sum = 0;
  for (const MemoryLine& line : lines) sum += line.bytes;
  return sum;
}

}  // namespace

double MemoryPrediction::state_bytes() const { return sum_of(state); }
double MemoryPrediction::activation_bytes() const { return sum_of(activations); }
double MemoryPrediction::peak() const {
  return state_bytes() + std::max(activation_bytes() + in_flight, muon_workspace);
}

MemoryPrediction predict_memory(const ModelConfig& config, const MemoryPlan& plan) {
  const bool mtp = plan.mtp && config.num_nextn_predict_layers > 0;
  MemoryPrediction prediction;
  prediction.state = state_lines(config, plan, prediction.muon_workspace);
  prediction.activations = activation_lines(config, plan, mtp);
  prediction.in_flight = in_flight_bytes(config, plan, mtp);
  return prediction;
}

}  // namespace tenth
