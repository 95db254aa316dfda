#include "engine/host_logits.h"

namespace tenth {

Tensor gather_rows(const Tensor& x, const std::vector<int32_t>& rows) {
  Backend& backend = backend_of(x);
  Tensor y = Tensor::make(backend, x.dtype(), {int64_t(rows.size()), x.dim(1)});
  backend.gather_rows(y, x, Tensor::from_host(backend, rows));
  return y;
}

void read_logits(const Tensor& logits, std::vector<float>& host) {
  Backend& backend = backend_of(logits);
  Tensor single = logits;
  if (logits.dtype() != DType::kF32) {
    single = Tensor::make(backend, DType::kF32, logits.shape());
    backend.copy(single, logits);
  }
  host.resize(size_t(single.count()));
  backend.copy_to_host(host.data(), single.raw(), single.bytes());
}

}  // namespace tenth
