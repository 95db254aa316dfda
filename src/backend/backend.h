// The one interface to a device: about forty coarse operations, each writing into tensors that the caller made.
//
// A Backend is a device and one ordered stream of work on it: calls are enqueued in order, and only copy_to_host (and
// the functions here that return a host value) wait. Three implementations: reference/ (double, plain loops: the oracle
// and the documentation), cpu/ (threads and vector units), cuda/.
//
// Notation. N tokens (all sequences of a batch laid end to end, no padding), D hidden size, H heads, E experts, K
// experts a token, R = N K rows of tokens sorted by expert, V vocabulary, S sequences. Types. T is the compute type:
// f32, bf16, or f64 (reference only). G is f32, or f64 where T is f64: gradients of weights, norm gains, statistics,
// router scores. Sums are kept in f32 or wider. Rules. Outputs come first. Activations and their gradients (dx, dq, …)
// are assigned; gradients of weights (dw, db) accumulate (+=). Every reduction has one order that depends neither on
// the number of threads nor on the other rows of the batch, so that a token's result is the same bits in whatever batch
// it runs. "rows" in a comment: the tensor may be a view whose rows are apart (its last dimension is always
// contiguous). An output never overlaps an input unless the comment says that it may.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "backend/block_weight.h"
#include "tensor/tensor.h"

namespace tenth {

// Which pairs of a head's dimensions rotate together.
enum class RopeStyle {
  kAdjacent,  // (x0, x1), (x2, x3), …: DeepSeek
  kHalves,    // (x_i, x_{i + d/2}): Llama, Qwen
};

// Which of the keys up to its own a token sees: of its place i in its sequence, the places max(0, i - window + 1) … i;
// of those, the selected.
struct Sight {
  int64_t window = 0;  // 0: all
  Tensor selected;     // (N, W) i32, W even: bit s % 32 of word s / 32 stands for place s; not defined: all
};

struct AttentionArgs {
  // Queries. Keys are the concatenation [k ; k_rope] where k_rope is one row shared by all heads (MLA), or k alone.
  Tensor q;         // (N, H, dk + dr) T
  Tensor k;         // (N, Hkv, dk) T, rows and heads may be apart
  Tensor k_rope;    // (N, dr) T, rows; not defined: dr = 0
  Tensor v;         // (N, Hkv, dv) T, rows and heads may be apart
  Tensor segments;  // (S + 1) i32: tokens of sequence s are [segments[s], segments[s + 1]); attention is causal within
  double scale = 1;
  Sight sight = {};
};

// A paged cache of keys and values. Its unit of memory is a block, which holds this many neighbouring positions of a
// sequence in every layer: as many as attention takes at a time. A sequence's table lists its blocks in order;
// sequences that begin alike may list the same ones.
constexpr int64_t kCacheBlock = 64;

// One layer of P blocks, in one of two forms, of the activations' type or bf16. What no token has stored may be
// anything, NaN too.
struct LayerCache {
  Tensor keys;    // (P, Hkv, dk + dr, 64): transposed, so that scores read 64 keys side by side as they lie
  Tensor values;  // (P, Hkv, 64, dv)
  Tensor latent;  // (P, 64, W): instead of both, MLA's rows, one for all heads: key whole, value in the first columns
  Tensor index_keys = {};  // (P, di, 64): beside them, the keys of sparse attention's indexer; not defined: none

  std::array<Tensor, 4> parts() const { return {keys, values, latent, index_keys}; }  // some not defined
};

// Where tokens stand: token n at position positions[n] of the sequence whose blocks are tables[sequences[n]].
struct CachePlaces {
  Tensor sequences;  // (N) i32
  Tensor positions;  // (N) i32
  Tensor tables;     // (S, most blocks) i32; entries past those that positions need are not read
};

// The choice of keys in sparse attention (DeepSeek-V3.2, arXiv 2512.02556, section 2.1). Keys are those of the batch,
// or those of a cache, which holds the tokens' own already.
struct IndexArgs {
  Tensor q;            // (N, H, di) T
  Tensor weights;      // (N, H) G
  int64_t top = 1;     // how many keys a token sees
  Tensor k, segments;  // (N, di) T; as in AttentionArgs
  Tensor keys = {};    // or LayerCache::index_keys
  CachePlaces places = {};
};

struct GateArgs {
  enum class Score { kSoftmax, kSigmoid };
  enum class GroupScore { kMax, kTopTwoSum };
  Score score = Score::kSigmoid;
  GroupScore group_score = GroupScore::kTopTwoSum;  // V2: best unbiased score; V3: sum of the two best biased scores
  int groups = 1, groups_kept = 1;
  int experts_per_token = 1;
  bool normalize = true;  // w_i = s_i / (sum of the chosen s + 1e-20)
  double scaling = 1;     // routed_scaling_factor, after normalisation
};

// FP8 e4m3 numbers with one scale a tile: x = q scale (DeepSeek-V3 report, section 3.3). Tiles at the ends are cut.
struct Fp8Args {
  enum class Tile {
    kRow,     // 1 x 128, along the channels: activations and their gradients; scales (R, ceil(C / 128))
    kColumn,  // 128 x 1, along the tokens: both factors of a weight gradient; scales (fp8_tile_rows(R, groups), C)
    kBlock,   // 128 x 128: weights; scales (ceil(R / 128), ceil(C / 128)), or a stack of such
  };
  static constexpr int64_t kSide = 128;
  Tile tile = Tile::kRow;
  Fp8Scale scale = Fp8Scale::kUe8m0;
  // amax is raised to this, above 0, so that a tile of zeros has a scale. DeepSeek's inference kernels take 1e-4, which
  // would push the gradients of training, sums divided by the tokens of a batch, under the smallest number.
  double floor = 1e-30;
};
// Column tiles begin anew with every expert's rows, those of expert e in row offsets[e] / 128 + e of the scales.
inline int64_t fp8_tile_rows(int64_t rows, int64_t groups = 1) { return rows / Fp8Args::kSide + groups; }

struct AdamWArgs {
  double lr = 0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0;
  int64_t step = 1;       // 1 at the first update
  double grad_scale = 1;  // the gradient is multiplied by this first (clipping)
  bool cautious = false;  // decay only where m and p have one sign, so that both shrink p
};

struct MatmulArgs {
  bool symmetric = false;  // c is, as a b and add are: a backend may make one half and copy the other
  double alpha = 1;        // other than 1 only with add
  Tensor add = {};         // (M, N), or not defined; not c
  double beta = 1;
};

class Backend : public Device {
 public:
  // --- elementwise ---------------------------------------------------------------------------------------------------
  virtual void fill(const Tensor& y, double value) = 0;                     // any strides
  virtual void copy(const Tensor& y, const Tensor& x) = 0;                  // converts types; any strides
  virtual void add(const Tensor& y, const Tensor& a, const Tensor& b) = 0;  // y may be a or b; any strides
  virtual void scale(const Tensor& y, const Tensor& x, double factor) = 0;  // y may be x
  virtual double sum_of_squares(const Tensor& x) = 0;                       // waits; f64 sum in a fixed order

  // --- matrices ------------------------------------------------------------------------------------------------------
  // The layout of w that linear_forward reads fastest; made once for each value of a weight. Not defined: none is
  // needed. w (O, I) or, for grouped rows, (E, O, I).
  virtual Tensor pack_weight(const Tensor& w) = 0;

  // y = x w^T + bias.  y (N, O) T or f32, rows; x (N, I) T, rows; w (O, I) T; packed: pack_weight(w) or not defined;
  // bias (O) G or not defined. w may be undefined where packed is not.
  // Grouped: w (E, O, I), bias not defined; rows [offsets[e], offsets[e + 1]) of x use w[e]; offsets (E + 1) i32.
  virtual void linear_forward(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& packed,
                              const Tensor& bias, const Tensor& offsets) = 0;
  // dx = dy w whatever dx held or, if not assign, dx += dy w.  dx (N, I) T or f32; dy (N, O) T or f32.
  virtual void linear_backward_input(const Tensor& dx, const Tensor& dy, const Tensor& w, const Tensor& offsets,
                                     bool assign) = 0;
  // dw += dy^T x, or dw = dy^T x, whatever dw held.  dw as w, G; dbias (O) G += column sums of dy, or not defined.
  virtual void linear_backward_weight(const Tensor& dw, const Tensor& dbias, const Tensor& dy, const Tensor& x,
                                      const Tensor& offsets, bool assign) = 0;
  // c = alpha a b + beta add with a (M, K) or transposed (K, M), b (K, N) or transposed (N, K), all of one type, rows.
  // Sums and alpha … beta in f32 at least. (Muon)
  virtual void matmul(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                      const MatmulArgs& args) = 0;

  // --- weights of 8 or 4 bits ----------------------------------------------------------------------------------------
  // y = xh w^T + bias with xh = x rounded to 8 bits: blocks of 32 neighbours, scale amax / 127, codes
  // rint(x (127 / amax)) in f32; a block that is not finite becomes NaN. If w.fine, x - xh, rounded alike, is added to
  // xh.  y (N, O) T or f32, rows; x (N, I) T, rows;
  // bias (O) G or not defined; offsets (E + 1) i32: rows of experts, or not defined.
  virtual void block_linear_forward(const Tensor& y, const Tensor& x, const BlockWeight& w, const Tensor& bias,
                                    const Tensor& offsets) = 0;
  // By heads, as MLA's absorption multiplies: y[:, h] = xh[:, h] w[h]^T.  y (N, H, >= O), x (N, H, I): rows and heads
  // apart; w: H groups.
  virtual void block_heads_forward(const Tensor& y, const Tensor& x, const BlockWeight& w) = 0;
  // y[n] = w[ids[n]], not rounded further than to T.  y (N, I) T; ids (N) i32, all within [0, O).
  virtual void block_embedding_forward(const Tensor& y, const Tensor& ids, const BlockWeight& w) = 0;

  // --- 8-bit floating point -----------------------------------------------------------------------------------------
  // scales = fp8_scale(amax of the tile); q = x / scale, both in f32.  q (R, C), or (E, R, C) for blocks, f8_e4m3,
  // contiguous; scales f32, contiguous, of the shape that Fp8Args says; x f32 or bf16 (reference: or f64), rows.
  // offsets (E + 1) i32: where the rows of experts begin, for column tiles, or not defined.
  virtual void fp8_quantize(const Tensor& q, const Tensor& scales, const Tensor& x, const Tensor& offsets,
                            const Fp8Args& args) = 0;
  // y = q scale, rounded to the type of y (f32, bf16; reference: or f64), which is contiguous.
  virtual void fp8_dequantize(const Tensor& y, const Tensor& q, const Tensor& scales, const Tensor& offsets,
                              const Fp8Args& args) = 0;
  // y = what fp8_dequantize gives for fp8_quantize of x.  y as in the former, x and offsets as in the latter; y may be
  // x.
  virtual void fp8_round(const Tensor& y, const Tensor& x, const Tensor& offsets, const Fp8Args& args) = 0;

  // --- embedding -----------------------------------------------------------------------------------------------------
  // y[n] = w[ids[n]].  y (N, D) T; ids (N) i32, all within [0, V); w (V, D) T.
  virtual void embedding_forward(const Tensor& y, const Tensor& ids, const Tensor& w) = 0;
  virtual void embedding_backward(const Tensor& dw, const Tensor& dy, const Tensor& ids) = 0;  // dw (V, D) G

  // --- norms, rotation, activation -----------------------------------------------------------------------------------
  // RMSNorm: y = x rstd w, rstd = (mean_j x_j^2 + eps)^(-1/2).  x, y (N, D) T rows; w (D) G; rstd (N) G.
  virtual void rms_norm_forward(const Tensor& y, const Tensor& rstd, const Tensor& x, const Tensor& w, double eps) = 0;
  // dx = rstd (dy w - xh mean_j(dy_j w_j xh_j)) + dresidual, xh = x rstd;  dw += sum_n dy xh.
  // dresidual (N, D) T or not defined: the gradient that reaches x past the norm. It may be dx.
  virtual void rms_norm_backward(const Tensor& dx, const Tensor& dw, const Tensor& dy, const Tensor& dresidual,
                                 const Tensor& x, const Tensor& rstd, const Tensor& w) = 0;
  // Rotates dimensions [first, first + dr) of each head by the angle of its position; copies the others. y may be x.
  // x, y (N, H, d) T, rows; positions (N) i32; table (P, 2, dr / 2) f32: cosines, then sines. inverse: by minus the
  // angle.
  virtual void rope(const Tensor& y, const Tensor& x, const Tensor& positions, const Tensor& table, int64_t first,
                    RopeStyle style, bool inverse) = 0;
  // y = silu(g) u with gate_up (N, 2 f) T = [g ; u]; y (N, f) T.
  virtual void swiglu_forward(const Tensor& y, const Tensor& gate_up) = 0;
  virtual void swiglu_backward(const Tensor& dgate_up, const Tensor& dy, const Tensor& gate_up) = 0;

  // --- attention -----------------------------------------------------------------------------------------------------
  // out_i = sum_j softmax_j(scale q_i . k_j) v_j over the j <= i of the same sequence that i sees.  out (N, H, dv) T;
  // lse (N, H) G.
  virtual void attention_forward(const Tensor& out, const Tensor& lse, const AttentionArgs& args) = 0;
  // dk, dv: shapes and strides of k, v; dk_rope (N, dr): the sum over heads, where args.k_rope is defined.
  virtual void attention_backward(const Tensor& dq, const Tensor& dk, const Tensor& dk_rope, const Tensor& dv,
                                  const Tensor& dout, const Tensor& out, const Tensor& lse,
                                  const AttentionArgs& args) = 0;
  // Stores the keys [k ; k_rope] and values of new tokens.  k (N, Hkv, dk) T, k_rope (N, dr) T or not defined, v (N,
  // Hkv, dv) T: rows and heads may be apart. A latent cache: k (N, 1, rk), v not defined.
  virtual void cache_store(const LayerCache& cache, const Tensor& k, const Tensor& k_rope, const Tensor& v,
                           const CachePlaces& places) = 0;
  // Attention of new tokens over the cache, their own keys and values stored already: a token at position p may see the
  // positions 0 … p of its sequence.  out (N, H, dv) T; q (N, H, d) T, rows. Where the cache holds keys and values, the
  // bits are those of attention_forward.
  virtual void cached_attention(const Tensor& out, const Tensor& q, const LayerCache& cache, const CachePlaces& places,
                                double scale, const Sight& sight) = 0;
  // MLA's absorption (decode). w (H, dn + dv, rk) T is kv_b_proj by heads: first the dn rows of keys, then dv of
  // values. q_latent[:, h, :rk] = q_nope[:, h] w[h, :dn];  q_nope (N, H, dn) T; q_latent (N, H, >= rk) T: both rows and
  // heads apart.
  virtual void mla_absorb_query(const Tensor& q_latent, const Tensor& q_nope, const Tensor& w) = 0;
  // out[:, h] = latent[:, h] w[h, dn:]^T;  latent (N, H, rk) T; out (N, H, dv) T.
  virtual void mla_absorb_output(const Tensor& out, const Tensor& latent, const Tensor& w) = 0;

  // --- sparse attention ----------------------------------------------------------------------------------------------
  // y = (x - mean x) (mean_j (x_j - mean x)^2 + eps)^(-1/2) w + b.  x, y (N, D) G, rows; w, b (D) G; y may be x.
  virtual void layer_norm(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& b, double eps) = 0;
  // Sight::selected of the tokens: the min(top, i + 1) places s of 0 … i with the largest sum_h weights[h] max(0, q[h]
  // . k_s), the lowest place first where sums are equal.
  virtual void select_keys(const Tensor& selected, const IndexArgs& args) = 0;

  // --- mixture of experts --------------------------------------------------------------------------------------------
  // scores = softmax or sigmoid of logits. Chooses K experts by score + bias within the kept groups (ties: the lowest
  // index first; experts outside are -inf), ids ascending; weights from the unbiased scores.
  // weights (N, K) G; experts (N, K) i32; scores, logits (N, E) G; bias (E) G or not defined.
  // replay: experts is an input, the choice made elsewhere (routing replay in RL).
  virtual void gate_forward(const Tensor& weights, const Tensor& experts, const Tensor& scores, const Tensor& logits,
                            const Tensor& bias, bool replay, const GateArgs& args) = 0;
  virtual void gate_backward(const Tensor& dlogits, const Tensor& dweights, const Tensor& weights,
                             const Tensor& experts, const Tensor& scores, const GateArgs& args) = 0;
  // Sequence-wise balance loss (V3 report, equations 17-20): mean over the sequences that have tokens of
  // sum_i f_i p_i with f_i = E / (K T) #{tokens that chose i}, p_i = mean_t s_{t,i} / sum_j s_{t,j}.  loss (1) G. No
  // factor alpha.
  virtual void balance_loss_forward(const Tensor& loss, const Tensor& scores, const Tensor& experts,
                                    const Tensor& segments) = 0;
  // dlogits = the gradient times dloss (1) G.
  virtual void balance_loss_backward(const Tensor& dlogits, const Tensor& dloss, const Tensor& scores,
                                     const Tensor& experts, const Tensor& segments, GateArgs::Score score) = 0;
  // Sorts the R = N K choices by expert, stable: row_of[n, k] is the sorted row of choice k of token n, token_of[r] the
  // token of row r, rows of expert e are [offsets[e], offsets[e + 1]).  row_of (N, K), token_of (R), offsets (E + 1)
  // i32.
  virtual void sort_by_expert(const Tensor& row_of, const Tensor& token_of, const Tensor& offsets,
                              const Tensor& experts) = 0;
  virtual void gather_rows(const Tensor& y, const Tensor& x,
                           const Tensor& rows) = 0;  // y[r] = x[rows[r]]; y (R, D), x (N, D)
  // y[n] = sum_k weights[n, k] x[row_of[n, k]], in the order of k;  weights not defined: all 1.  y (N, D), x (R, D) T.
  virtual void combine_forward(const Tensor& y, const Tensor& x, const Tensor& weights, const Tensor& row_of) = 0;
  // dx[row_of[n, k]] = weights[n, k] dy[n];  dweights[n, k] = dy[n] . x[row_of[n, k]].
  virtual void combine_backward(const Tensor& dx, const Tensor& dweights, const Tensor& dy, const Tensor& x,
                                const Tensor& weights, const Tensor& row_of) = 0;

  // --- losses --------------------------------------------------------------------------------------------------------
  // Of given logits: logprobs[n] = logits[n, targets[n]] - lse[n];  entropy[n] = -sum_v p log p, or not defined.
  // logits (N, V) f32 or f64; targets (N) i32, -1: logprob 0; logprobs, lse, entropy (N) G.
  virtual void logprobs_forward(const Tensor& logprobs, const Tensor& lse, const Tensor& entropy, const Tensor& logits,
                                const Tensor& targets) = 0;
  // Turns logits into their gradient in place: dlogits[n, v] = dlogprobs[n] (1[v = targets[n]] - p) + dlse[n] p with
  // p = exp(logits - lse), 0 where the target is -1. dlse (N) G, or not defined: none. The logits may be some columns
  // of all: then `first` is the id that the first of them stands for.
  virtual void logprobs_backward(const Tensor& logits, const Tensor& dlogprobs, const Tensor& lse,
                                 const Tensor& targets, const Tensor& dlse, int64_t first) = 0;

  // --- optimizer -----------------------------------------------------------------------------------------------------
  // m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (mh / (sqrt(vh) + eps) + weight_decay p).  All G, one
  // shape.
  virtual void adamw_step(const Tensor& p, const Tensor& m, const Tensor& v, const Tensor& g,
                          const AdamWArgs& args) = 0;
  // y -= share y where x and y have one sign (x y >= 0), G: cautious weight decay (arXiv 2510.12402).
  virtual void decay_where_aligned(const Tensor& y, const Tensor& x, double share) = 0;
  // y = a x + b y, elementwise, G. (momentum and updates of Muon, weight averages)
  virtual void axpby(const Tensor& y, double a, const Tensor& x, double b) = 0;
};

// The element type of weight gradients and statistics that goes with a compute type.
constexpr DType gradient_type(DType compute) { return compute == DType::kF64 ? DType::kF64 : DType::kF32; }

inline Backend& backend_of(const Tensor& t) { return static_cast<Backend&>(t.device()); }

// The backends of this build, made on first use; they live as long as the process. "reference", "cpu", "cuda"; throws
// kInput for another name and kUnsupported for one that this build or machine does not have.
Backend& get_backend(const std::string& name);

}  // namespace tenth
