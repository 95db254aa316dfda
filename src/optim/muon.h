// Muon (Keller Jordan, github.com/KellerJordan/Muon): momentum whose singular values are all made about 1.
//
//   M <- mu M + (1 - mu) G;   U = mu M + (1 - mu) G (Nesterov) or M;   O = NewtonSchulz(U)
//   W <- W (1 - lr wd) - lr c O
//
// M as a running mean is Keller Jordan's and torch.optim.Muon's form; the sum M = mu M + G of DeepSeek-V4 and Moonlight
// differs by a factor that the normalisation takes out.
#pragma once
#include <span>

#include "optim/newton_schulz.h"

namespace tenth {

// The factor c on the orthogonal update O (n, m), whose root mean square is 1 / sqrt(max(n, m)).
enum class MuonScale {
  kOriginal,       // sqrt(max(1, n / m)): Keller Jordan; wants a rate of its own, about 0.02
  kMatchRmsAdamW,  // 0.2 sqrt(max(n, m)): the size of AdamW's updates, at AdamW's rates (Moonlight, arXiv 2502.16982)
};

struct MuonArgs {
  double lr = 0, weight_decay = 0;
  double momentum = 0.95;
  bool nesterov = true;
  MuonScale scale = MuonScale::kOriginal;
  MuonVariant variant = MuonVariant::kKeller;
  double beta2 = 0.95;           // of the rows' second moments, where a matrix has them
  bool cautious = false;         // decay only where update and weight have one sign
  double grad_scale = 1;         // the gradient is multiplied by this first (clipping)
  DType products = DType::kF32;  // of Newton-Schulz on f32 matrices: f32 or bf16
};

// One logical matrix: each expert, and each of gate and up, apart.
struct MuonMatrix {
  Tensor value, grad, momentum;  // (n, m) G
  Tensor row_second = {};        // (n) G: second moments of NorMuon (row_norms.h), or not defined: plain Muon
};

// One update of every matrix, in place; matrices do not overlap and have one type. Small ones are spread over the
// threads, so that calls to the backend come from several threads at once; each result is the same bits for any number
// of threads and in any company.
void muon_step(Backend& backend, std::span<const MuonMatrix> matrices, const MuonArgs& args);

}  // namespace tenth
