// Decoding: rows of new tokens go into a cache, and attention reads it; MLA's weight absorption.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/reference/reference_backend.h"

namespace tenth::reference {

namespace {

// The number of the block that holds a token's position `at`.
struct BlockOf {
  View sequences, tables;
  int64_t operator()(int64_t token, int64_t at) const {
    return int64_t(tables(int64_t(sequences(token)), at / kCacheBlock));
  }
};

}  // namespace

// keys_bg,:,o = [k_ng ; k_rope_n], values_bgo = v_ng; or latent_bo = [k_n0 ; k_rope_n]: o = positions_n mod 64, b its
// block
void ReferenceBackend::cache_store(const LayerCache& cache, const Tensor& k_, const Tensor& k_rope_, const Tensor& v_,
                                   const CachePlaces& places) {
  View keys(cache.keys), values(cache.values), latent(cache.latent), k(k_), k_rope(k_rope_), v(v_);
  View positions(places.positions);
  const BlockOf block_of{View(places.sequences), View(places.tables)};
  const int64_t dk = k_.dim(2), width = dk + (k_rope ? k_rope_.dim(1) : 0);
  for (int64_t n = 0; n < k_.dim(0); n++) {
    const int64_t at = int64_t(positions(n)), b = block_of(n, at), o = at % kCacheBlock;
    for (int64_t g = 0; g < k_.dim(1); g++) {
      for (int64_t d = 0; d < width; d++) {
        const Element key = latent ? latent(b, o, d) : keys(b, g, d, o);
        key = d < dk ? k(n, g, d) : k_rope(n, d - dk);
      }
      for (int64_t d = 0; v && d < v_.dim(2); d++) values(b, g, o, d) = v(n, g, d);
    }
  }
}

// out_n = sum_j softmax_j(scale q_n . k_j) v_j over the positions j <= positions_n of its sequence that it sees
void ReferenceBackend::cached_attention(const Tensor& out_, const Tensor& q_, const LayerCache& cache,
                                        const CachePlaces& places, double scale, const Sight& sight) {
  View out(out_), q(q_), keys(cache.keys), values(cache.values), latent(cache.latent), positions(places.positions);
  const BlockOf block_of{View(places.sequences), View(places.tables)};
  const Seen seen(sight);
  const int64_t queries_a_key = latent ? q_.dim(1) : q_.dim(1) / cache.keys.dim(1);
  for (int64_t n = 0; n < q_.dim(0); n++)
    for (int64_t h = 0; h < q_.dim(1); h++) {
      const int64_t count = int64_t(positions(n)) + 1, g = h / queries_a_key;
      const auto key = [&](int64_t j, int64_t d) -> double {
        const int64_t b = block_of(n, j), o = j % kCacheBlock;
        return latent ? latent(b, o, d) : keys(b, g, d, o);
      };
      const auto value = [&](int64_t j, int64_t d) -> double {
        const int64_t b = block_of(n, j), o = j % kCacheBlock;
        return latent ? latent(b, o, d) : values(b, g, o, d);
      };
      Array p(count);
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t j = 0; j < count; j++) {
        if (!seen(n, count - 1, j)) p(j) = -std::numeric_limits<double>::infinity();
        for (int64_t d = 0; d < q_.dim(2); d++) p(j) += scale * q(n, h, d) * key(j, d);
        top = std::max(top, p(j));
      }
      for (int64_t j = 0; j < count; j++) sum += p(j) = std::exp(p(j) - top);
      for (int64_t d = 0; d < out_.dim(2); d++) {
        double total = 0;
        for (int64_t j = 0; j < count; j++) total += p(j) / sum * value(j, d);
        out(n, h, d) = total;
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
