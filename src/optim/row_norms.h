// NorMuon (arXiv 2510.05491): rows of an orthogonalised update that are steadily larger than others are evened out.
#pragma once
#include "backend/backend.h"

namespace tenth {

// v_i = b2 v_i + (1 - b2) mean_j o_ij^2;  o_i <- o_i / (sqrt(v_i) + 1e-10), then all times ||O||_F before / after, so
// that the update keeps its size and the learning rate its meaning.
// o (n, m), contiguous; second (n): v, 0 at first. Allocates no tensor: it may run in several threads.
void normalize_rows(Backend& backend, const Tensor& o, const Tensor& second, double beta2);

}  // namespace tenth
