#include "train/memory.h"

#include <algorithm>
#include <functional>

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
      return block(kG * elements) + 2 * block(2 * elements) + 2 * block(2 * side * side);  // products in bf16
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

// Tensors of N rows that the tape keeps, by their columns: what the backward passes of the ops read.
class Saved {
 public:
  explicit Saved(const MemoryPlan& plan) : plan_(plan) {}

  void wide(int64_t columns, int64_t count = 1) { add(columns, count, double(size_of(plan_.compute))); }
  // f32 statistics, i32 indices.
  void narrow(int64_t columns, int64_t count = 1) { add(columns, count, kG); }
  // Kept only where it is not made again.
  void cheap(int64_t columns, int64_t count = 1) {
    if (!plan_.recompute) wide(columns, count);
  }
  const MemoryPlan& plan() const { return plan_; }
  double bytes() const { return bytes_; }

 private:
  void add(int64_t columns, int64_t count, double size) {
    bytes_ += double(count) * block(double(plan_.batch_tokens * columns) * size);
  }

  const MemoryPlan& plan_;
  double bytes_ = 0;
};

// add_rms_norm twice: the sum, the normed sum, one number a row. The first block of a stack has nothing to add.
void norms(const ModelConfig& c, bool first, Saved& s) {
  s.wide(c.hidden_size, first ? 1 : 2), s.cheap(c.hidden_size, 2), s.narrow(1, 2);
}

void attention(const ModelConfig& c, Saved& s) {
  const int64_t h = c.num_attention_heads, q = h * c.query_dim();
  s.wide(h * c.value_dim()), s.narrow(h);  // result, log of the sum
  if (!c.mla()) {
    const int64_t kv = c.num_key_value_heads * c.head_dim;
    s.wide(q), s.wide(kv, 2);  // rotated; with norms, before them
    if (c.qk_norm) s.cheap(q), s.cheap(kv), s.narrow(h), s.narrow(c.num_key_value_heads);
    return;
  }
  s.wide(c.kv_lora_rank + c.qk_rope_head_dim), s.wide(c.qk_rope_head_dim), s.narrow(1);
  s.cheap(c.kv_lora_rank), s.cheap(h * (c.qk_nope_head_dim + c.v_head_dim));
  if (c.q_lora_rank)
    s.wide(c.q_lora_rank), s.cheap(c.q_lora_rank), s.narrow(1), s.cheap(q);
  else
    s.wide(q);
}

void mlp(int64_t width, Saved& s) { s.wide(2 * width), s.cheap(width); }

void mixture(const ModelConfig& c, Saved& s) {
  const int64_t d = c.hidden_size, k = c.gate.experts_per_token, f = c.moe_intermediate_size;
  s.narrow(c.n_routed_experts), s.narrow(k, 3);  // scores; weights, experts, rows
  if (s.plan().recompute)
    s.narrow(k);  // tokens, to dispatch them again
  else if (s.plan().compute != DType::kF32)
    s.narrow(d);                                                     // the gate's input in f32
  s.cheap(k * d), s.wide(2 * k * f), s.cheap(k * f), s.wide(k * d);  // dispatched, gate and up, hidden, down
  if (c.n_shared_experts) mlp(c.n_shared_experts * f, s);
}

void feed_forward(const ModelConfig& c, bool sparse, Saved& s) { sparse ? mixture(c, s) : mlp(c.intermediate_size, s); }

// Final norm: sum, normed, one number; log-probabilities, their sums, targets.
void ends(const ModelConfig& c, Saved& s) { s.wide(c.hidden_size), s.cheap(c.hidden_size), s.narrow(1, 4); }

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
  std::vector<MemoryLine> lines;
  const auto add = [&](const std::string& what, int64_t count, const std::function<void(Saved&)>& fill) {
    Saved saved(plan);
    fill(saved);
    if (count > 0) lines.push_back({what, count, double(count) * saved.bytes()});
  };
  add("embedding", 1, [&](Saved& s) { s.wide(d), s.narrow(1, 2); });
  add("norms and residual, first block", 1, [&](Saved& s) { norms(c, true, s); });
  add("norms and residual", layers - 1, [&](Saved& s) { norms(c, false, s); });
  add(c.mla() ? "latent attention" : "attention", layers, [&](Saved& s) { attention(c, s); });
  add("dense MLP", layers - sparse, [&](Saved& s) { mlp(c.intermediate_size, s); });
  add("mixture", sparse, [&](Saved& s) { mixture(c, s); });
  add("final norm, log-probabilities", 1, [&](Saved& s) { ends(c, s); });
  add("multi-token prediction", mtp, [&](Saved& s) {
    s.wide(d, 2), s.cheap(2 * d), s.narrow(1, 3);  // embedding, joined, projected; two norms, tokens
    norms(c, true, s), attention(c, s), feed_forward(c, c.n_routed_experts > 0, s), ends(c, s);
  });
  return lines;
}

// The head's gradients are made at the end of the forward pass; the backward pass begins with the feed-forward of the
// last block. All else is still saved then.
double in_flight_bytes(const ModelConfig& c, const MemoryPlan& plan, bool mtp) {
  const double n = double(plan.batch_tokens), size = double(size_of(plan.compute)), d = double(c.hidden_size);
  const double row = block(n * d * size);
  const double logits = double(ops::logits_at_a_time(plan.batch_tokens, c.vocab_size)),
               gradients = double(ops::logit_gradients_at_a_time(plan.batch_tokens, c.vocab_size));
  const bool sparse = c.n_routed_experts > 0 && (mtp || c.sparse_layer.back());
  const double k = sparse ? c.gate.experts_per_token : 1;
  const double width = block(n * k * size * double(sparse ? c.moe_intermediate_size : c.intermediate_size));
  const double dispatched = block(n * k * d * size);
  const bool copied = size != kG || gradients < logits;
  double head = block(kG * logits) + block(kG * n * d) + (copied ? block(size * gradients) : 0);
  // Gradients of the sum and of the two branches; of the down projection's result and of its input.
  double last = 3 * row + dispatched + width;
  if (mtp) head += row, last += row;                                    // the main head's
  if (plan.recompute) last += width + (sparse ? dispatched : 0) + row;  // made again
  return std::max(head, last);
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
  const double step = std::max(activation_bytes() + in_flight, muon_workspace);
  return state_bytes() + (checkpoints_between ? step + checkpoint : std::max(step, checkpoint));
}

MemoryPrediction predict_memory(const ModelConfig& config, const MemoryPlan& plan) {
  const bool mtp = plan.mtp && config.num_nextn_predict_layers > 0;
  MemoryPrediction prediction;
  prediction.state = state_lines(config, plan, prediction.muon_workspace);
  prediction.activations = activation_lines(config, plan, mtp);
  prediction.in_flight = in_flight_bytes(config, plan, mtp);
  prediction.checkpoint = prediction.state.at(0).bytes + prediction.state.at(4).bytes;
  prediction.checkpoints_between = plan.checkpoints;
  return prediction;
}

}  // namespace tenth
