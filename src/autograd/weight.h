// A trained tensor as kernels see it. Weights that one kernel reads together (gate and up projection, all experts of a
// layer) are one Weight; the Hugging Face names are views on it (nn/parameter.h).
#pragma once
#include "backend/backend.h"

namespace tenth {

struct Weight {
  Tensor value;    // the master copy, G
  Tensor compute;  // T: the same tensor as value where the types are equal
  Tensor packed;   // pack_weight(compute), made when a linear first needs it
  Tensor grad;     // as value; not defined while the weight is not trained

  bool trained() const { return grad.defined(); }

  // To be called after value changed: the copies that kernels read follow it.
  void refresh() {
    packed = Tensor();
    if (!compute.same_storage(value)) backend_of(value).copy(compute, value);
  }
};

}  // namespace tenth
