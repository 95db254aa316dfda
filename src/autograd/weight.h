// A trained tensor as kernels see it. Weights that one kernel reads together (gate and up projection, all experts of a
// layer) are one Weight; the Hugging Face names are views on it (nn/parameter.h).
#pragma once
#include <optional>

#include "backend/backend.h"

namespace tenth {

// The arithmetic of a model: the type T of its activations and, where fp8 is set, products of FP8 factors with such
// scales in the linears of its blocks (ops/fp8.h).
struct ComputeType {
  ComputeType(DType type, std::optional<Fp8Scale> scale = {}) : dtype(type), fp8(scale) {}  // NOLINT: a plain type
  DType dtype;
  std::optional<Fp8Scale> fp8;
  bool frozen = false;       // the model only runs: its matrices are kept as kernels read them and in no other form
  bool keep_blocks = false;  // frozen: matrices that a file holds in blocks of few bits stay so (BlockWeight)
};

// The narrowest type at hand that holds q scale of e4m3 numbers: their four digits times a power of two fit the compute
// type; times any other scale they do not fit bf16, and the products are made in G.
constexpr DType fp8_product_type(DType compute, Fp8Scale scale) {
  return scale == Fp8Scale::kUe8m0 ? compute : gradient_type(compute);
}

struct Weight {
  Shape shape;
  Tensor value;    // the master copy, G
  Tensor compute;  // T: the same tensor as value where the types are equal; FP8: rounded, of fp8_product_type
  Tensor packed;   // pack_weight(compute), made when a linear first needs it
  Tensor grad;     // as value; not defined while the weight is not trained. To be read through gradient()
  bool grad_is_zero = false;  // it stands for zeros, whatever its memory holds: the first product is assigned to it
  std::optional<Fp8Scale> fp8;
  // A matrix of a model that only runs (ComputeType::frozen) has no master copy, and one form of the others alone:
  // blocks, packed or compute.
  BlockWeight blocks;
  // Of kv_b_proj (then beside packed), as decoding absorbs it, by heads: (H, latent, nope) and (H, value, latent).
  BlockWeight absorbed_keys, absorbed_values;
  bool fine = false;       // in blocks: BlockWeight::fine
  bool rows_read = false;  // compute is read by rows, beside linear products: it stays

  bool trained() const { return grad.defined(); }

  // The gradient, to be read or added to.
  const Tensor& gradient();
  // gradient (+)= dy^T x, and the bias's += column sums of dy; as Backend::linear_backward_weight.
  void add_product(Weight* bias, const Tensor& dy, const Tensor& x, const Tensor& offsets);

  // To be called after value changed: the copies that kernels read follow it.
  void refresh();
};

}  // namespace tenth
