// Decoding: rows of new tokens go into a cache, and attention reads it; MLA's weight absorption.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {

// cache[slots_n, positions_n, column + d] = rows_nd
void ReferenceBackend::cache_store(const Tensor& cache_, const Tensor& rows_, int64_t column,
                                   const CachePlaces& places) {
  View cache(cache_), rows(rows_), slots(places.slots), positions(places.positions);
  for (int64_t n = 0; n < rows_.dim(0); n++)
    for (int64_t d = 0; d < rows_.dim(1); d++) cache(int64_t(slots(n)), int64_t(positions(n)), column + d) = rows(n, d);
}

// out_n = sum_j softmax_j(scale q_n . k_j) v_j over the rows j = 0 … positions_n of slot slots_n
void ReferenceBackend::cached_attention(const Tensor& out_, const Tensor& q_, const Tensor& k_, const Tensor& v_,
                                        const CachePlaces& places, double scale) {
  View out(out_), q(q_), k(k_), v(v_), slots(places.slots), positions(places.positions);
  const int64_t queries_a_key = q_.dim(1) / k_.dim(2);
  for (int64_t n = 0; n < q_.dim(0); n++)
    for (int64_t h = 0; h < q_.dim(1); h++) {
      const int64_t slot = int64_t(slots(n)), count = int64_t(positions(n)) + 1, g = h / queries_a_key;
      Array p(count);
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t j = 0; j < count; j++) {
        for (int64_t d = 0; d < q_.dim(2); d++) p(j) += scale * q(n, h, d) * k(slot, j, g, d);
        top = std::max(top, p(j));
      }
      for (int64_t j = 0; j < count; j++) sum += p(j) = std::exp(p(j) - top);
      for (int64_t d = 0; d < out_.dim(2); d++) {
        double value = 0;
        for (int64_t j = 0; j < count; j++) value += p(j) / sum * v(slot, j, g, d);
        out(n, h, d) = value;
      }
    }
}

// q_latent_nhr = sum_d q_nope_nhd w_hdr,  d over the dn rows of keys
void ReferenceBackend::mla_absorb_query(const Tensor& q_latent_, const Tensor& q_nope_, const Tensor& w_) {
  View q_latent(q_latent_), q_nope(q_nope_), w(w_);
  for (int64_t n = 0; n < q_nope_.dim(0); n++)
    for (int64_t h = 0; h < w_.dim(0); h++)
      for (int64_t r = 0; r < w_.dim(2); r++) {
        double sum = 0;
        for (int64_t d = 0; d < q_nope_.dim(2); d++) sum += q_nope(n, h, d) * w(h, d, r);
        q_latent(n, h, r) = sum;
      }
}

// out_nhd = sum_r latent_nhr w_h(dn + d)r
void ReferenceBackend::mla_absorb_output(const Tensor& out_, const Tensor& latent_, const Tensor& w_) {
  View out(out_), latent(latent_), w(w_);
  const int64_t key_rows = w_.dim(1) - out_.dim(2);
  for (int64_t n = 0; n < out_.dim(0); n++)
    for (int64_t h = 0; h < w_.dim(0); h++)
      for (int64_t d = 0; d < out_.dim(2); d++) {
        double sum = 0;
        for (int64_t r = 0; r < w_.dim(2); r++) sum += latent(n, h, r) * w(h, key_rows + d, r);
        out(n, h, d) = sum;
      }
}

}  // namespace tenth::reference
