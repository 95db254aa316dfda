// Muon (Keller Jordan, github.com/KellerJordan/Muon): momentum whose singular values are all made about 1.
//
//   M <- mu M + (1 - mu) G;   U = mu M + (1 - mu) G (Nesterov) or M;   O = NewtonSchulz(U)
//   W <- W (1 - lr wd) - lr c O
//
// M as a running mean is Keller Jordan's and torch.optim.Muon's form; the sum M = mu M + G of DeepSeek-V4 and Moonlight
// differs by a factor that the normalisation takes out.
#pragma once
#include <span>

#include "backend/backend.h"

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
  double grad_scale = 1;  // the gradient is multiplied by this first (clipping)
};

// One logical matrix: each expert, and each of gate and up, apart.
struct MuonMatrix {
  Tensor value, grad, momentum;  // (n, m) G
};

// One update of every matrix, in place; matrices do not overlap and have one type. Small ones are spread over the
// threads, so that calls to the backend come from several threads at once; each result is the same bits for any number
// of threads and in any company.
void muon_step(Backend& backend, std::span<const MuonMatrix> matrices, const MuonArgs& args);

// Room for the largest of some matrices: buffers that each matrix takes a part of.
struct MuonWorkspace {
  MuonWorkspace(Backend& backend, DType dtype, int64_t elements, int64_t square);
  Tensor x, y;  // (elements) with elements >= n m
  Tensor a, b;  // (square) with square >= min(n, m)^2
};

// Orthogonalises: singular values of x within about 0.002 … 1 of its Frobenius norm go to about 0.7 … 1.2 in five steps
// of X <- a X + (b A + c A^2) X, A = X X^T, after X = x / (||x||_F + 1e-7). A zero matrix stays zero.
// x (n, m) lies in workspace.x and is overwritten; the result lies in workspace.x or workspace.y.
Tensor newton_schulz(Backend& backend, const Tensor& x, const MuonWorkspace& workspace);

// FLOPs of that on one (rows, columns) matrix: with n the short side, 5 steps of 4 n^2 m + 2 n^3.
double newton_schulz_flops(int64_t rows, int64_t columns);

}  // namespace tenth
