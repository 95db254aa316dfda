#include "optim/muon.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "base/threads.h"
#include "optim/row_norms.h"

namespace tenth {
namespace {

// From here on one matrix is work enough for all threads inside the backend's matmul, and a workspace for each thread
// would be memory for nothing.
constexpr int64_t kLargeMatrix = int64_t(1) << 20;  // elements

int64_t short_side(const Tensor& x) { return std::min(x.dim(0), x.dim(1)); }

Tensor part(const Tensor& buffer, int64_t rows, int64_t columns) {
  return buffer.slice(0, 0, rows * columns).view({rows, columns});
}

double update_scale(MuonScale scale, int64_t rows, int64_t columns) {
  const double n = double(rows), m = double(columns);
  return scale == MuonScale::kOriginal ? std::sqrt(std::max(1.0, n / m)) : 0.2 * std::sqrt(std::max(n, m));
}

void update(Backend& backend, const MuonMatrix& matrix, const MuonArgs& args, const MuonWorkspace& workspace) {
  const int64_t rows = matrix.value.dim(0), columns = matrix.value.dim(1);
  const double share = (1 - args.momentum) * args.grad_scale;
  backend.axpby(matrix.momentum, share, matrix.grad, args.momentum);
  const Tensor x = part(workspace.x, rows, columns);
  backend.copy(x, matrix.momentum);
  if (args.nesterov) backend.axpby(x, share, matrix.grad, args.momentum);
  const Tensor o = newton_schulz(backend, x, workspace, args.variant);
  if (matrix.row_second) normalize_rows(backend, o, matrix.row_second, args.beta2);
  const double decay = args.lr * args.weight_decay;
  if (args.cautious && decay != 0) backend.decay_where_aligned(matrix.value, o, decay);
  backend.axpby(matrix.value, -args.lr * update_scale(args.scale, rows, columns), o, args.cautious ? 1 : 1 - decay);
}

MuonWorkspace workspace_for(Backend& backend, std::span<const MuonMatrix* const> matrices, DType products) {
  int64_t elements = 0, square = 0;
  for (const MuonMatrix* m : matrices) {
    elements = std::max(elements, m->value.count());
    square = std::max(square, short_side(m->value) * short_side(m->value));
  }
  const DType dtype = matrices[0]->value.dtype();
  return {backend, dtype, elements, square, dtype == DType::kF32 ? products : dtype};
}

// Each worker has a workspace made beforehand: nothing inside the threads allocates.
void update_in_parallel(Backend& backend, std::span<const MuonMatrix* const> matrices, const MuonArgs& args) {
  if (matrices.empty()) return;
  const int64_t workers = std::min<int64_t>(thread_count(), int64_t(matrices.size()));
  std::vector<MuonWorkspace> workspaces;
  for (int64_t w = 0; w < workers; w++) workspaces.push_back(workspace_for(backend, matrices, args.products));
  std::atomic<size_t> next = 0;
  parallel_each(workers, [&](int64_t w) {
    for (size_t i = next++; i < matrices.size(); i = next++) update(backend, *matrices[i], args, workspaces[size_t(w)]);
  });
}

}  // namespace

void muon_step(Backend& backend, std::span<const MuonMatrix> matrices, const MuonArgs& args) {
  std::vector<const MuonMatrix*> large, small;
  for (const MuonMatrix& m : matrices) (m.value.count() >= kLargeMatrix ? large : small).push_back(&m);
  if (!large.empty()) {
    const MuonWorkspace workspace = workspace_for(backend, large, args.products);
    for (const MuonMatrix* m : large) update(backend, *m, args, workspace);
  }
  // The longest first, so that no thread begins one when the others are done.
  auto cost = [](const MuonMatrix* m) { return m->value.count() * short_side(m->value); };
  std::stable_sort(small.begin(), small.end(), [&](auto* l, auto* r) { return cost(l) > cost(r); });
  update_in_parallel(backend, small, args);
}

}  // namespace tenth
