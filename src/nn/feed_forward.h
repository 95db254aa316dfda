// Feed-forward layers: MLP (SwiGLU), and MoE with its Gate.
#pragma once
#include <memory>

#include "nn/config.h"
#include "nn/parameter.h"
#include "nn/pass.h"
#include "ops/moe.h"

namespace tenth {

class FeedForward {
 public:
  virtual ~FeedForward() = default;
  virtual Var forward(const Var& x, Pass& pass) = 0;  // x (N, D), normed -> (N, D)
};

// down(silu(gate x) * up x)
class MLP : public FeedForward {
 public:
  MLP(int64_t hidden, int64_t width, ParameterList& parameters, const std::string& prefix);
  Var forward(const Var& x, Pass& pass) override;

 private:
  WeightPtr gate_up_, down_;
};

// Chooses experts. The product runs in f32 whatever the compute type (DeepSeek-V3.2's inference code, transformers).
class Gate {
 public:
  Gate(const ModelConfig& config, ParameterList& parameters, const std::string& prefix);
  ops::Routing forward(const Var& x, Pass& pass);

  const GateArgs& args() const { return args_; }
  Weight* bias() const { return bias_.get(); }  // e_score_correction_bias, or null

 private:
  GateArgs args_;
  WeightPtr weight_, bias_;
};

// y = sum_i w_i Expert_i(x) + Shared(x). Tokens are sorted by expert, so that each expert is one part of a grouped
// product.
class MoE : public FeedForward {
 public:
  MoE(const ModelConfig& config, ParameterList& parameters, const std::string& prefix);
  Var forward(const Var& x, Pass& pass) override;

  // Tokens that each expert got in passes with count_load, since the last reset.
  const std::vector<int64_t>& load() const { return load_; }
  void reset_load() { load_.assign(load_.size(), 0); }
  // Aux-loss-free balancing (arXiv 2408.15664): b_i += rate where expert i got less than the mean, -= rate where more.
  void update_bias(double rate);

 private:
  Gate gate_;
  int64_t experts_;
  WeightPtr gate_up_, down_;
  std::unique_ptr<MLP> shared_;  // or null
  std::vector<int64_t> load_;
};

}  // namespace tenth
