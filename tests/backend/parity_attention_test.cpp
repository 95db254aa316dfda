// Attention over sequences and over the cache.
#include "backend/parity.h"

namespace tenth::testing {
namespace {

struct Form {
  int64_t heads, key_heads, nope, rope, value;
};
const Form kForms[] = {{1, 1, 1, 0, 1},   {4, 4, 16, 0, 16}, {4, 2, 33, 0, 33}, {3, 1, 8, 0, 8},
                       {4, 4, 16, 8, 16}, {2, 2, 24, 9, 40}, {6, 2, 64, 0, 64}, {2, 2, 128, 64, 128}};
const std::vector<std::vector<int32_t>> kSegments = {{0, 1}, {0, 0}, {0, 0, 5, 5, 6, 23, 23}, {0, 70}, {0, 3, 67, 132}};
// Windows within a vector, a group of rows, a block and across blocks; the last of them shows everything.
const int64_t kWindows[] = {0, 1, 5, 40, 64, 65, 300};

std::string text_of(const Form& f) {
  return "H " + std::to_string(f.heads) + "/" + std::to_string(f.key_heads) + " d " + std::to_string(f.nope) + "+" +
         std::to_string(f.rope) + " -> " + std::to_string(f.value);
}

// Scores and probabilities may pass through bfloat16 where the inputs are bfloat16.
Tolerance tolerance_of(DType dtype) { return dtype == DType::kBF16 ? Tolerance{0x1p-7, 0x1p-7} : Tolerance{-1, 4e-6}; }

AttentionArgs make_args(Trial& t, DType dtype, const Form& f, const std::vector<int32_t>& segments, double size = 1) {
  const int64_t n = segments.back();
  // Keys and values of MLA are two halves of one tensor.
  Tensor kv = t.in(dtype, {n, f.key_heads, f.nope + f.value}, size);
  AttentionArgs args;
  args.q = t.dense(dtype, {n, f.heads, f.nope + f.rope}, size);
  args.k = kv.slice(2, 0, f.nope);
  args.v = kv.slice(2, f.nope, f.nope + f.value);
  if (f.rope) args.k_rope = t.in(dtype, {n, f.rope}, size);
  args.segments = t.ints(segments);
  args.scale = 1 / std::sqrt(double(f.nope + f.rope));
  return args;
}

double largest(const Tensor& t) {
  double value = 0;
  for (double x : values_of(t)) value = std::max(value, std::fabs(x));
  return value;
}

// dP - delta cancels, to nothing where a token sees only itself: what is left is rounding of its two terms.
Values difference_magnitudes(const Tensor& gradient, const Tensor& dout, const AttentionArgs& args,
                             const Tensor& other) {
  const double term = largest(dout) * largest(args.v) * std::sqrt(double(args.v.dim(2))) * args.scale;
  return Values(size_t(gradient.count()), std::max(largest(gradient), term * largest(other) / 20));
}

template <class Body>
void each_case(const Body& body) {
  for (DType dtype : kTypes)
    for (Layout layout : {Layout::kAligned, Layout::kRowsApart})
      for (const Form& form : kForms)
        for (const auto& segments : kSegments) {
          if (form.nope == 128 && segments.back() > 70) continue;  // the reference is slow
          for (int64_t window : kWindows) {
            const bool wide = form.nope >= 64 || layout == Layout::kRowsApart;
            if (window >= std::max(2, segments.back()) || (wide && window > 0 && window != 40)) continue;
            SCOPED_TRACE(text_of(dtype, layout) + " " + text_of(form) + " N " + std::to_string(segments.back()) +
                         " window " + std::to_string(window));
            body(dtype, layout, form, segments, Sight{window, {}});
            if (::testing::Test::HasFailure()) return;
          }
        }
}

TEST(ParityAttention, Forward) {
  each_case([](DType dtype, Layout layout, const Form& f, const std::vector<int32_t>& segments, const Sight& sight) {
    check_parity(
        [&](Trial& t) {
          AttentionArgs args = make_args(t, dtype, f, segments);
          args.sight = sight;
          Tensor out = t.dense_out(dtype, {segments.back(), f.heads, f.value});
          Tensor lse = t.dense_out(DType::kF32, {segments.back(), f.heads});
          t.backend.attention_forward(out, lse, args);
          t.result("out", out, tolerance_of(dtype));
          t.result("lse", lse, dtype == DType::kBF16 ? Tolerance{1e-3, 1e-3} : Tolerance{});
        },
        layout);
  });
}

TEST(ParityAttention, Backward) {
  each_case([](DType dtype, Layout layout, const Form& f, const std::vector<int32_t>& segments, const Sight& sight) {
    const int64_t n = segments.back();
    // out and lse come from the reference, so that both backends start from the same numbers.
    Values out_values, lse_values;
    check_parity(
        [&](Trial& t) {
          AttentionArgs args = make_args(t, dtype, f, segments);
          args.sight = sight;
          Tensor out = t.dense_out(dtype, {n, f.heads, f.value}), lse = t.dense_out(DType::kF32, {n, f.heads});
          if (t.oracle()) {
            t.backend.attention_forward(out, lse, args);
            out_values = values_of(out), lse_values = values_of(lse);
          } else {
            set_values(out, out_values), set_values(lse, lse_values);
          }
          Tensor dout = t.dense(dtype, {n, f.heads, f.value}), dq = t.dense_out(dtype, args.q.shape());
          Tensor dkv = t.out(dtype, {n, f.key_heads, f.nope + f.value});
          Tensor dk = dkv.slice(2, 0, f.nope), dv = dkv.slice(2, f.nope, f.nope + f.value);
          Tensor dk_rope = f.rope ? t.out(dtype, {n, f.rope}) : Tensor();
          t.backend.attention_backward(dq, dk, dk_rope, dv, dout, out, lse, args);
          t.result("dq", dq, tolerance_of(dtype), difference_magnitudes(dq, dout, args, args.k));
          t.result("dk", dk, tolerance_of(dtype), difference_magnitudes(dk, dout, args, args.q));
          t.result("dv", dv, tolerance_of(dtype));
          if (f.rope)
            t.result("dk_rope", dk_rope, tolerance_of(dtype), difference_magnitudes(dk_rope, dout, args, args.q));
        },
        layout);
  });
}

// Scores of hundreds: no overflow, and one key takes all.
TEST(ParityAttention, LargeScores) {
  check_parity([](Trial& t) {
    const Form f{2, 2, 16, 0, 8};
    AttentionArgs args = make_args(t, DType::kF32, f, {0, 40}, 30);
    Tensor out = t.dense_out(DType::kF32, {40, 2, 8}), lse = t.dense_out(DType::kF32, {40, 2});
    t.backend.attention_forward(out, lse, args);
    t.result("out", out, {1e-3, 1e-3});
    t.result("lse", lse, {1e-5, 1e-6});
  });
}

// A sequence has the same bits alone as among others, and a token the same bits whatever comes after it.
TEST(ParityAttention, SequencesAloneAndPrefixes) {
  for (DType dtype : kTypes)
    for (size_t i = 0; i < std::size(kForms); i++) {
      const Form& f = kForms[i];
      const Sight sight{kWindows[i % std::size(kWindows)], {}};
      SCOPED_TRACE(std::string(name_of(dtype)) + " " + text_of(f) + " window " + std::to_string(sight.window));
      const std::vector<int32_t> segments = {0, 3, 3, 74, 75, 110};
      Trial t(subject(), Layout::kAligned, 7);
      AttentionArgs args = make_args(t, dtype, f, segments);
      args.sight = sight;
      auto run = [&](int64_t begin, int64_t end, const std::vector<int32_t>& bounds) {
        AttentionArgs part = args;
        part.q = args.q.slice(0, begin, end);
        part.k = args.k.slice(0, begin, end);
        part.v = args.v.slice(0, begin, end);
        if (f.rope) part.k_rope = args.k_rope.slice(0, begin, end);
        part.segments = t.ints(bounds);
        Tensor out = t.dense_out(dtype, {end - begin, f.heads, f.value}),
               lse = t.dense_out(DType::kF32, {end - begin, f.heads});
        t.backend.attention_forward(out, lse, part);
        return values_of(out);
      };
      const Values whole = run(0, 110, segments);
      const int64_t width = f.heads * f.value;
      auto check = [&](int32_t begin, int32_t end) {
        expect_same_bits(run(begin, end, {0, end - begin}),
                         Values(whole.begin() + begin * width, whole.begin() + end * width),
                         "tokens [" + std::to_string(begin) + ", " + std::to_string(end) + ")");
      };
      for (size_t s = 0; s + 1 < segments.size(); s++) check(segments[s], segments[s + 1]);
      for (int32_t length : {1, 2, 7, 16, 33, 64, 65, 70}) check(3, 3 + length);
      if (HasFailure()) return;
    }
}

// NaN reaches every later token of its sequence, and no other sequence.
TEST(ParityAttention, NaNStaysInItsSequence) {
  for (DType dtype : kTypes) {
    Trial t(subject(), Layout::kAligned, 8);
    const Form f{2, 1, 16, 0, 16};
    AttentionArgs args = make_args(t, dtype, f, {0, 37, 60, 80});
    for (const Tensor& x : {args.k, args.v}) write(x, offset_of(x, 45 * 16 + 3), kNaN);
    Tensor out = t.dense_out(dtype, {80, 2, 16}), lse = t.dense_out(DType::kF32, {80, 2});
    t.backend.attention_forward(out, lse, args);
    const Values got = values_of(out);
    for (size_t i = 0; i < got.size(); i++) {
      const size_t token = i / 32;
      if (token < 37 || token >= 60) {
        EXPECT_TRUE(std::isfinite(got[i])) << "token " << token;
      } else if (token >= 45) {
        EXPECT_TRUE(std::isnan(got[i])) << "token " << token;
      }
    }
  }
}

// Four sequences of up to six blocks each, two of which two sequences share; tables in no order, with a wrong number
// where no token reaches.
constexpr int64_t kBlocks = 23, kTableWidth = 7;
const std::vector<int32_t> kTables = {22, 3, 7,  1,  12, 9,  99,  //
                                      0,  5, 2,  21, 4,  6,  -1,  //
                                      8,  5, 2,  10, 11, 13, 23,  //
                                      20, 3, 19, 14, 15, 16, -77};

struct CacheCase {
  std::vector<int32_t> sequences, positions;
};

CachePlaces places_of(Trial& t, const CacheCase& c) {
  return {t.ints(c.sequences), t.ints(c.positions), t.ints(kTables).view({-1, kTableWidth})};
}

struct CacheForms {
  int64_t heads, key_heads, width, value;
  bool latent = false;
};

struct CacheTypes {
  DType rows, cache;
};
constexpr CacheTypes kCacheTypes[] = {
    {DType::kF32, DType::kF32}, {DType::kBF16, DType::kBF16}, {DType::kF32, DType::kBF16}};

std::string text_of(const CacheTypes& types, Layout layout) {
  return testing::text_of(types.rows, layout) + " cache " + std::string(name_of(types.cache));
}

LayerCache unset_cache(Trial& t, DType dtype, const CacheForms& f) {
  if (f.latent) return {{}, {}, t.dense_out(dtype, {kBlocks, kCacheBlock, f.width})};
  return {t.dense_out(dtype, {kBlocks, f.key_heads, f.width, kCacheBlock}),
          t.dense_out(dtype, {kBlocks, f.key_heads, kCacheBlock, f.value}),
          {}};
}

TEST(ParityCache, Store) {
  CacheCase many{{2, 0, 2, 1}, {5, 0, 4, 383}};
  for (int32_t p = 50; p < 200; p++) many.sequences.push_back(3), many.positions.push_back(p);
  for (const CacheTypes& types : kCacheTypes)
    for (Layout layout : kLayouts)
      for (const CacheForms& f : {CacheForms{2, 2, 33, 9}, CacheForms{4, 1, 40, 32, true}, CacheForms{3, 3, 1, 1}}) {
        SCOPED_TRACE(text_of(types, layout) + " d " + std::to_string(f.width));
        check_parity(
            [&](Trial& t) {
              const int64_t n = int64_t(many.positions.size()), rope = f.width / 4, dk = f.width - rope;
              const LayerCache cache = unset_cache(t, types.cache, f);
              const Tensor kv = t.in(types.rows, {n, f.key_heads, dk + f.value}),
                           k_rope = rope ? t.in(types.rows, {n, rope}) : Tensor();
              const Tensor v = f.latent ? Tensor() : kv.slice(2, dk, dk + f.value);
              t.backend.cache_store(cache, kv.slice(2, 0, dk), k_rope, v, places_of(t, many));
              t.backend.cache_store(cache, kv.slice(0, 0, 0).slice(2, 0, dk), rope ? k_rope.slice(0, 0, 0) : Tensor(),
                                    f.latent ? Tensor() : v.slice(0, 0, 0), places_of(t, {}));
              for (const Tensor& part : {cache.keys, cache.values, cache.latent})
                if (part) t.result("cache", part, {0, 0});
            },
            layout);
      }
}

const CacheCase kPlaces[] = {{{}, {}},
                             {{1}, {0}},
                             {{2}, {383}},
                             {{2, 0, 1, 3}, {0, 15, 255, 256}},
                             {{0, 0, 0, 1, 1, 2}, {30, 31, 32, 63, 64, 5}},
                             {{3, 3, 3, 3, 3}, {254, 255, 256, 257, 258}},
                             {{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1},
                              {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 33, 65, 80, 81, 82, 83, 84}}};

template <class Body>
void each_cache_case(const Body& body) {
  for (const CacheTypes& types : kCacheTypes)
    for (Layout layout : {Layout::kAligned, Layout::kRowsApart})
      for (const CacheCase& places : kPlaces)
        for (const CacheForms& f :
             {CacheForms{1, 1, 1, 1}, CacheForms{4, 2, 33, 33}, CacheForms{4, 4, 64, 64}, CacheForms{9, 3, 64, 64},
              CacheForms{40, 2, 32, 48}, CacheForms{1, 1, 1, 1, true}, CacheForms{8, 1, 40, 32, true},
              CacheForms{3, 1, 72, 64, true}, CacheForms{5, 1, 33, 33, true}, CacheForms{40, 1, 40, 32, true},
              CacheForms{16, 1, 576, 512, true}}) {
          if (layout == Layout::kRowsApart && f.width != 33 && f.width != 40) continue;
          if (f.width == 576 && places.sequences.size() > 4) continue;
          for (int64_t window : kWindows) {
            if (window > 0 && f.width != 33 && f.width != 40) continue;  // the reference is slow
            if (window > 0 && window != (types.cache == DType::kF32 ? 5 : 65)) continue;
            SCOPED_TRACE(text_of(types, layout) + " H " + std::to_string(f.heads) + "/" + std::to_string(f.key_heads) +
                         " d " + std::to_string(f.width) + (f.latent ? " latent" : "") + " N " +
                         std::to_string(places.sequences.size()) + " window " + std::to_string(window));
            body(types, layout, places, f, Sight{window, {}});
            if (::testing::Test::HasFailure()) return;
          }
        }
}

// Positions that no token has stored yet are NaN, in shared blocks too: they must not be read.
LayerCache stored_cache(Trial& t, const CacheTypes& types, const CacheCase& places, const CacheForms& f) {
  const LayerCache cache = unset_cache(t, types.cache, f);
  for (int32_t s = 0; s < 4; s++) {
    CacheCase stored;
    for (size_t n = 0; n < places.sequences.size(); n++)
      for (int32_t p = int32_t(stored.positions.size()); places.sequences[n] == s && p <= places.positions[n]; p++)
        stored.sequences.push_back(s), stored.positions.push_back(p);
    const int64_t n = int64_t(stored.positions.size());
    t.backend.cache_store(cache, t.dense(types.rows, {n, f.key_heads, f.width}), Tensor(),
                          f.latent ? Tensor() : t.dense(types.rows, {n, f.key_heads, f.value}), places_of(t, stored));
  }
  return cache;
}

TEST(ParityCache, Attention) {
  each_cache_case(
      [](const CacheTypes& types, Layout layout, const CacheCase& places, const CacheForms& f, const Sight& sight) {
        check_parity(
            [&](Trial& t) {
              const LayerCache cache = stored_cache(t, types, places, f);
              const int64_t n = int64_t(places.sequences.size());
              Tensor q = t.in(types.rows, {n, f.heads, f.width}), out = t.dense_out(types.rows, {n, f.heads, f.value});
              t.backend.cached_attention(out, q, cache, places_of(t, places), 1 / std::sqrt(double(f.width)), sight);
              t.result("out", out, tolerance_of(f.latent ? types.cache : types.rows));
            },
            layout);
      });
}

TEST(ParityCache, TokensAlone) {
  each_cache_case(
      [](const CacheTypes& types, Layout layout, const CacheCase& places, const CacheForms& f, const Sight& sight) {
        if (layout != Layout::kAligned || places.sequences.empty()) return;
        Trial t(subject(), layout, 9);
        const LayerCache cache = stored_cache(t, types, places, f);
        const int64_t n = int64_t(places.sequences.size());
        Tensor q = t.in(types.rows, {n, f.heads, f.width});
        check_rows_alone(n, [&](int64_t begin, int64_t end) {
          const CacheCase part{{places.sequences.begin() + begin, places.sequences.begin() + end},
                               {places.positions.begin() + begin, places.positions.begin() + end}};
          Tensor out = t.dense_out(types.rows, {end - begin, f.heads, f.value});
          t.backend.cached_attention(out, q.slice(0, begin, end), cache, places_of(t, part), 0.2, sight);
          return values_of(out);
        });
      });
}

// Training, a prompt in parts and decoding: over keys and values a token has the same bits in all three, past the first
// split too; over latents in the last two. A window that shows everything is none.
TEST(ParityCache, WholePartsAndSteps) {
  const int32_t length = 383;
  for (const CacheTypes& types : kCacheTypes)
    for (const CacheForms& f : {CacheForms{4, 2, 33, 33}, CacheForms{9, 3, 64, 64}, CacheForms{16, 2, 40, 24},
                                CacheForms{8, 1, 40, 32, true}, CacheForms{40, 1, 72, 64, true}}) {
      SCOPED_TRACE(text_of(types, Layout::kAligned) + " H " + std::to_string(f.heads) + " d " +
                   std::to_string(f.width));
      Trial t(subject(), Layout::kAligned, 11);
      CacheCase all;
      for (int32_t p = 0; p < length; p++) all.sequences.push_back(2), all.positions.push_back(p);
      const LayerCache cache = unset_cache(t, types.cache, f);
      const Tensor q = t.dense(types.rows, {length, f.heads, f.width}),
                   k = t.dense(types.rows, {length, f.key_heads, f.width}),
                   v = f.latent ? k.slice(2, 0, f.value) : t.dense(types.rows, {length, f.key_heads, f.value});
      t.backend.cache_store(cache, k, Tensor(), f.latent ? Tensor() : v, places_of(t, all));
      const auto in_steps = [&](int64_t step, const Sight& sight) {
        Tensor out = t.dense_out(types.rows, {length, f.heads, f.value});
        for (int64_t n = 0; n < length; n += step) {
          const int64_t end = std::min<int64_t>(length, n + step);
          const CacheCase part{{all.sequences.begin() + n, all.sequences.begin() + end},
                               {all.positions.begin() + n, all.positions.begin() + end}};
          t.backend.cached_attention(out.slice(0, n, end), q.slice(0, n, end), cache, places_of(t, part), 0.2, sight);
        }
        return values_of(out);
      };
      for (int64_t window : kWindows) {
        SCOPED_TRACE("window " + std::to_string(window));
        const Sight sight{window, {}};
        const Values want = in_steps(length, sight);
        for (int64_t step : {1, 2, 100})
          expect_same_bits(in_steps(step, sight), want, "steps of " + std::to_string(step));
        if (!f.latent && types.rows == types.cache) {
          Tensor out = t.dense_out(types.rows, {length, f.heads, f.value}),
                 lse = t.dense_out(DType::kF32, {length, f.heads});
          t.backend.attention_forward(out, lse, {q, k, Tensor(), v, t.ints({0, length}), 0.2, sight});
          expect_same_bits(values_of(out), want, "the whole sequence");
        }
      }
      expect_same_bits(in_steps(50, {length, {}}), in_steps(length, {}), "a window of the whole sequence");
      if (HasFailure()) return;
    }
}

TEST(ParityCache, WrongTablesAreRefused) {
  Trial t(subject(), Layout::kAligned, 12);
  const CacheForms f{2, 1, 16, 16};
  const LayerCache cache = stored_cache(t, kCacheTypes[0], {}, f);
  const Tensor q = t.dense(DType::kF32, {1, 2, 16}), kv = t.dense(DType::kF32, {1, 1, 16});
  Tensor out = t.dense_out(DType::kF32, {1, 2, 16});
  for (const CacheCase& wrong : {CacheCase{{4}, {0}}, CacheCase{{-1}, {0}}, CacheCase{{0}, {448}}, CacheCase{{0}, {-1}},
                                 CacheCase{{0}, {384}}, CacheCase{{1}, {384}}, CacheCase{{2}, {384}}}) {
    EXPECT_THROW(t.backend.cached_attention(out, q, cache, places_of(t, wrong), 1, {}), Error) << wrong.positions[0];
    EXPECT_THROW(t.backend.cache_store(cache, kv, Tensor(), kv, places_of(t, wrong)), Error) << wrong.positions[0];
  }
}

TEST(ParityCache, Absorption) {
  for (DType dtype : kTypes)
    for (Layout layout : kLayouts)
      for (auto [n, heads, nope, value, latent] : {std::array<int64_t, 5>{0, 2, 4, 4, 8},
                                                   {1, 1, 1, 1, 1},
                                                   {3, 2, 16, 16, 32},
                                                   {7, 3, 17, 9, 33},
                                                   {33, 4, 32, 24, 64}}) {
        SCOPED_TRACE(text_of(dtype, layout) + " N " + std::to_string(n) + " H " + std::to_string(heads));
        check_parity(
            [&](Trial& t) {
              Tensor w = t.dense(dtype, {heads, nope + value, latent}), q = t.in(dtype, {n, heads, nope + 3});
              Tensor q_latent = t.in(dtype, {n, heads, latent + 5});  // beyond rk: left alone
              t.backend.mla_absorb_query(q_latent, q.slice(2, 0, nope), w);
              t.result("q_latent", q_latent);
              Tensor mixed = t.dense(dtype, {n, heads, latent}), out = t.dense_out(dtype, {n, heads, value});
              t.backend.mla_absorb_output(out, mixed, w);
              t.result("out", out);
            },
            layout);
        Trial t(subject(), layout, 10);
        Tensor w = t.dense(dtype, {heads, nope + value, latent}), q = t.dense(dtype, {n, heads, nope});
        if (n == 0) continue;
        check_rows_alone(n, [&](int64_t begin, int64_t end) {
          Tensor q_latent = t.dense_out(dtype, {end - begin, heads, latent});
          Tensor out = t.dense_out(dtype, {end - begin, heads, value});
          t.backend.mla_absorb_query(q_latent, q.slice(0, begin, end), w);
          t.backend.mla_absorb_output(out, q_latent, w);
          return values_of(out);
        });
        if (HasFailure()) return;
      }
}

}  // namespace
}  // namespace tenth::testing
