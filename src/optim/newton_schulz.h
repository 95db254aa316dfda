// Makes all singular values of a matrix about 1 by polynomials of odd degree: X <- a X + (b A + c A^2) X, A = X X^T.
#pragma once
#include "backend/backend.h"

namespace tenth {

// Which polynomials, and what they make of singular values between 0.01 and 1 of the Frobenius norm.
enum class MuonVariant {
  kKeller,        // 5 steps of Keller Jordan's quintic: 0.7 … 1.2
  kV4,            // 8 steps of it, then 2 of (2, -1.5, 0.5): 1 within 0.001 (DeepSeek-V4 paper, section 2.4)
  kPolarExpress,  // 5 steps, each the best after those before it: 0.9 … 1.1 (arXiv 2505.16932)
};

// Room for the largest of some matrices: buffers that each matrix takes a part of.
struct MuonWorkspace {
  // products: the type of the matrices that are multiplied: dtype, or bf16, as in Keller Jordan's code.
  MuonWorkspace(Backend& backend, DType dtype, int64_t elements, int64_t square, DType products);
  Tensor x;     // (elements) of dtype with elements >= n m
  Tensor from;  // (elements): x where the types are one
  Tensor to;    // (elements)
  Tensor a, b;  // (square) with square >= min(n, m)^2
};

// Orthogonalises, from X = x / (||x||_F + 1e-7), for Polar Express x / (1.02 ||x||_F + 1e-7). A zero matrix stays zero.
// x (n, m) lies in workspace.x and is overwritten; the result lies in workspace.x or workspace.to.
Tensor newton_schulz(Backend& backend, const Tensor& x, const MuonWorkspace& workspace,
                     MuonVariant variant = MuonVariant::kKeller);

// FLOPs of that on one (rows, columns) matrix: with n the short side, 4 n^2 m + 2 n^3 for each polynomial, as if
// symmetric products were made whole.
double newton_schulz_flops(int64_t rows, int64_t columns, MuonVariant variant = MuonVariant::kKeller);

}  // namespace tenth
