// The optimizer of a model: Muon for hidden matrices and AdamW for the rest, or AdamW for everything.
#pragma once
#include <string>
#include <vector>

#include "nn/parameter.h"
#include "optim/muon.h"

namespace tenth {

struct OptimizerOptions {
  enum class Kind { kAdamW, kMuon };
  Kind kind = Kind::kMuon;
  double lr = 0.02;       // of the matrices under Muon
  double adam_lr = 8e-3;  // of the rest under Muon; of everything under AdamW
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0;  // decoupled, times the learning rate
  double momentum = 0.95;   // Muon
  bool nesterov = true;
  MuonScale scale = MuonScale::kOriginal;
  MuonVariant variant = MuonVariant::kKeller;
  DType muon_products = DType::kBF16;  // of Newton-Schulz, as Keller Jordan and torch.optim.Muon have it; or f32
  bool normalize_rows = false;         // NorMuon, with beta2
  bool cautious_decay = false;  // decay only where it and the update pull a weight the same way (arXiv 2510.12402)
  double ema_decay = 0;         // of the running mean of the weights; 0: none is kept
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Who gets what:
//   kMatrix            Muon (each name is one matrix) or AdamW; decays
//   kEmbedding         AdamW; decays
//   kRouter            AdamW; decays, as every matrix does in Megatron's rule. Sources disagree on Muon for routers
//                      (DeepSeek-V4 yes; nanochat and Marin found Adam better): see reference training.md, section 2
//   kVector            AdamW; never decays
//   kBuffer            never touched
// Weights without a gradient buffer when the optimizer is made (not trained) are left alone for good.
class Optimizer {
 public:
  // Throws kInput for an option out of its range, naming it.
  Optimizer(const std::vector<Parameter>& parameters, const OptimizerOptions& options);

  // One update of the values in place from the gradients, which it leaves as they are. Rates are multiplied by lr_scale
  // (learning_rate_factor), gradients by grad_scale (clip_factor). The caller then calls model.refresh().
  // Throws kNumeric where a scale is not finite, before anything is touched.
  void step(double lr_scale = 1, double grad_scale = 1);

  // Everything that goes on from step to step: views on "<parameter>.momentum", or "<parameter>.exp_avg" and
  // "<parameter>.exp_avg_sq", then "<parameter>.row_second" (NorMuon) and "<parameter>.average", in the order of the
  // parameters; and the number of steps taken. To restore, fill the tensors of state() and set the number.
  std::vector<NamedTensor> state() const;
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // With ema_decay: exchanges the weights and their running mean A <- d A + (1 - d) W, taken after every step with
  // d = min(ema_decay, (1 + t) / (10 + t)), so that the first weights fade. Router biases have no mean: they belong to
  // the latest loads. The caller then calls model.refresh().
  void swap_average();

  // Matrix products of one step: Muon's, each expert's matrices apart. What is done a constant number of times to each
  // element (AdamW, momentum) is left out, as it is in the model's FLOPs.
  double step_flops() const;

  const OptimizerOptions& options() const { return options_; }

 private:
  // State lies beside whole Weights, so that AdamW moves a stack of experts in one call.
  struct Slot {
    WeightPtr weight;
    Parameter::Role role;
    bool muon;
    Tensor first, second;  // as weight->value. Muon: momentum, and nothing or (…, rows); AdamW: exp_avg, exp_avg_sq
    Tensor average;        // as weight->value, or not defined
  };
  struct Member {
    Parameter parameter;
    size_t slot;
  };

  size_t slot_of(const Parameter& parameter);
  Tensor row_moments(const Tensor& value) const;
  Tensor row_moments_of(const Member& member) const;
  void adamw(const Slot& slot, double lr_scale, double grad_scale) const;
  void update_averages() const;
  void muon(double lr_scale, double grad_scale) const;

  OptimizerOptions options_;
  std::vector<Slot> slots_;
  std::vector<Member> members_;
  int64_t steps_ = 0;
};

// The Euclidean norm of all gradients taken as one vector, each Weight counted once, in f64. Waits for the device.
double global_norm(const std::vector<Parameter>& parameters);

// min(1, max_norm / (norm + 1e-6)): the factor of torch.nn.utils.clip_grad_norm_. Throws kNumeric where norm is not
// finite: no factor mends such gradients.
double clip_factor(double norm, double max_norm);

}  // namespace tenth
