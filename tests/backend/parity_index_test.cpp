// Sparse attention: its indexer's choice of keys, and attention to those alone.
#include "backend/parity.h"

namespace tenth::testing {
namespace {

// Small whole numbers, whose sums of products are exact in every type and order, and often equal.
Values small_numbers(Trial& t, int64_t count, int64_t most) {
  Values values(static_cast<size_t>(count));
  for (double& value : values) value = double(int64_t(t.rng().below(uint64_t(2 * most + 1))) - most);
  return values;
}

constexpr int64_t kBlocks = 14, kTableWidth = 6;
const std::vector<int32_t> kTables = {13, 3, 7, 1, 12, 9, 0, 5, 2, 11, 4, 6};

CachePlaces places_of(Trial& t, const std::vector<int32_t>& sequences, const std::vector<int32_t>& positions) {
  return {t.ints(sequences), t.ints(positions), t.ints(kTables).view({-1, kTableWidth})};
}

struct Form {
  int64_t heads, width, top;
};
const Form kForms[] = {{1, 1, 1}, {3, 9, 5}, {8, 16, 64}, {20, 33, 65}, {16, 128, 40}};

TEST(ParityIndex, LayerNorm) {
  for (Layout layout : kLayouts)
    for (const auto& [n, width] : {std::pair<int64_t, int64_t>{0, 4}, {1, 1}, {3, 17}, {200, 128}})
      check_parity(
          [&, n = n, width = width](Trial& t) {
            const Tensor x = t.in(DType::kF32, {n, width}), w = t.dense(DType::kF32, {width}),
                         b = t.dense(DType::kF32, {width}), y = t.out(DType::kF32, {n, width});
            t.backend.layer_norm(y, x, w, b, 1e-6);
            t.result("y", y);
            t.backend.layer_norm(x, x, w, b, 1e-6);
            t.result("in place", x);
          },
          layout);
}

TEST(ParityIndex, KeysOfTheBatch) {
  const std::vector<int32_t> segments = {0, 0, 3, 90, 91, 230};
  const int64_t n = segments.back();
  for (DType dtype : kTypes)
    for (Layout layout : {Layout::kAligned, Layout::kRowsApart})
      for (const Form& f : kForms) {
        SCOPED_TRACE(text_of(dtype, layout) + " top " + std::to_string(f.top));
        check_parity(
            [&](Trial& t) {
              IndexArgs args;
              args.q = t.in(dtype, {n, f.heads, f.width}, small_numbers(t, n * f.heads * f.width, 1));
              args.weights = t.in(DType::kF32, {n, f.heads}, small_numbers(t, n * f.heads, 2));
              args.k = t.in(dtype, {n, f.width}, small_numbers(t, n * f.width, 1));
              args.segments = t.ints(segments);
              args.top = f.top;
              const Tensor selected = t.out(DType::kI32, {n, 6});
              t.backend.select_keys(selected, args);
              t.result("selected", selected, {0, 0});
            },
            layout);
        if (HasFailure()) return;
      }
}

// Over a cache, a step at a time or many: the choice of the whole sequence.
TEST(ParityIndex, KeysOfACache) {
  const int64_t n = 300;
  for (DType dtype : kTypes)
    for (const Form& f : kForms) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " top " + std::to_string(f.top));
      Trial t(subject(), Layout::kAligned, 5);
      IndexArgs args;
      args.q = t.dense(dtype, {n, f.heads, f.width});
      args.weights = t.dense(DType::kF32, {n, f.heads});
      args.k = t.dense(dtype, {n, f.width});
      args.segments = t.ints({0, int32_t(n)});
      args.top = f.top;
      const Tensor want = t.dense_out(DType::kI32, {n, 10});
      t.backend.select_keys(want, args);
      std::vector<int32_t> sequences(size_t(n), 1), positions;
      for (int32_t p = 0; p < n; p++) positions.push_back(p);
      args.keys = t.dense_out(dtype, {kBlocks, f.width, kCacheBlock});
      t.backend.cache_store({args.keys.insert_dim(1), {}, {}}, args.k.insert_dim(1), {}, {},
                            places_of(t, sequences, positions));
      const Tensor q = args.q, weights = args.weights;
      for (int64_t step : {1, 7, 300}) {
        const Tensor got = t.dense_out(DType::kI32, {n, 10});
        for (int64_t begin = 0; begin < n; begin += step) {
          const int64_t end = std::min(n, begin + step);
          args.q = q.slice(0, begin, end);
          args.weights = weights.slice(0, begin, end);
          args.places = places_of(t, {sequences.begin() + begin, sequences.begin() + end},
                                  {positions.begin() + begin, positions.begin() + end});
          t.backend.select_keys(got.slice(0, begin, end), args);
        }
        expect_same_bits(values_of(got), values_of(want), "steps of " + std::to_string(step));
      }
      // As many as there are, or `top`; none behind the token.
      const std::vector<int32_t> words = want.to_host<int32_t>();
      for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        for (int64_t s = 0; s < 320; s++) {
          const bool bit = uint32_t(words[size_t(i * 10 + s / 32)]) >> (s % 32) & 1;
          EXPECT_TRUE(!bit || s <= i) << i << " selects " << s;
          count += bit;
        }
        EXPECT_EQ(count, std::min(f.top, i + 1)) << i;
      }
      if (HasFailure()) return;
    }
}

// What NaN or infinity does to the scores does not matter, as long as the choice is one and nothing breaks.
TEST(ParityIndex, NumbersThatAreNone) {
  Trial t(subject(), Layout::kAligned, 6);
  IndexArgs args;
  args.q = t.dense(DType::kF32, {80, 2, 8});
  args.weights = t.dense(DType::kF32, {80, 2});
  args.k = t.dense(DType::kF32, {80, 8});
  for (int64_t at : {3, 77, 200}) write(args.k, at, at == 77 ? INFINITY : kNaN);
  write(args.weights, 101, kNaN);
  args.segments = t.ints({0, 80});
  args.top = 10;
  const Tensor selected = t.dense_out(DType::kI32, {80, 4});
  t.backend.select_keys(selected, args);
  const std::vector<int32_t> words = selected.to_host<int32_t>();
  for (int64_t i = 0; i < 80; i++) {
    int count = 0;
    for (int64_t w = 0; w < 4; w++) count += __builtin_popcount(uint32_t(words[size_t(4 * i + w)]));
    EXPECT_EQ(count, std::min<int64_t>(10, i + 1));
  }
}

// One key in `one_in`, and now and then no key of a whole block. The token's own need not be among them.
Tensor selection(Trial& t, const std::vector<int32_t>& positions, int64_t words, uint64_t one_in) {
  std::vector<int32_t> bits;
  for (const int32_t position : positions) {
    std::vector<uint32_t> row(size_t(words), 0);
    const int64_t hidden = int64_t(t.rng().below(uint64_t(words))) / 2;
    for (int32_t s = 0; s <= position; s++)
      if (s / 64 != hidden && t.rng().below(one_in) == 0) row[size_t(s / 32)] |= 1u << (s % 32);
    row[size_t(position / 2 / 32)] |= 1u << (position / 2 % 32);
    for (const uint32_t word : row) bits.push_back(int32_t(word));
  }
  return t.ints(bits).view({int64_t(positions.size()), words});
}

TEST(ParitySelection, ForwardAndBackward) {
  const std::vector<int32_t> segments = {0, 0, 5, 6, 90, 250};
  const int64_t n = segments.back(), heads = 3, nope = 20, rope = 8, value = 24;
  std::vector<int32_t> positions;
  for (size_t s = 0; s + 1 < segments.size(); s++)
    for (int32_t p = 0; p < segments[s + 1] - segments[s]; p++) positions.push_back(p);
  for (DType dtype : kTypes)
    for (const int64_t window : {0, 70})
      for (const uint64_t one_in : {2, 40}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " one in " + std::to_string(one_in));
        const Tolerance tolerance = dtype == DType::kBF16 ? Tolerance{0x1p-7, 0x1p-7} : Tolerance{-1, 4e-6};
        Values out_values, lse_values;
        check_parity(
            [&](Trial& t) {
              const Tensor kv = t.in(dtype, {n, heads, nope + value});
              AttentionArgs args;
              args.q = t.dense(dtype, {n, heads, nope + rope});
              args.k = kv.slice(2, 0, nope);
              args.v = kv.slice(2, nope, nope + value);
              args.k_rope = t.in(dtype, {n, rope});
              args.segments = t.ints(segments);
              args.scale = 0.2;
              args.sight.selected = selection(t, positions, 6, window ? 1 : one_in);
              args.sight.window = window;
              Tensor out = t.dense_out(dtype, {n, heads, value}), lse = t.dense_out(DType::kF32, {n, heads});
              t.backend.attention_forward(out, lse, args);
              t.result("out", out, tolerance);
              t.result("lse", lse, dtype == DType::kBF16 ? Tolerance{1e-3, 1e-3} : Tolerance{});
              if (t.oracle())
                out_values = values_of(out), lse_values = values_of(lse);
              else
                set_values(out, out_values), set_values(lse, lse_values);
              const Tensor dout = t.dense(dtype, {n, heads, value}), dq = t.dense_out(dtype, args.q.shape());
              const Tensor dkv = t.out(dtype, kv.shape()), dk_rope = t.out(dtype, {n, rope});
              t.backend.attention_backward(dq, dkv.slice(2, 0, nope), dk_rope, dkv.slice(2, nope, nope + value), dout,
                                           out, lse, args);
              for (const auto& [name, x] : {std::pair{"dq", dq}, {"dkv", dkv}, {"dk_rope", dk_rope}})
                t.result(name, x, tolerance);
            },
            Layout::kAligned);
        if (HasFailure()) return;
      }
}

// The whole sequence, its parts and its tokens one by one, over keys and values and over latents.
TEST(ParitySelection, WholePartsAndSteps) {
  const int32_t n = 383;
  for (DType dtype : kTypes)
    for (const bool latent : {false, true})
      for (const int64_t heads : {2, 12, 40}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + (latent ? " latent" : "") + " H " + std::to_string(heads));
        Trial t(subject(), Layout::kAligned, 11);
        const int64_t width = 40, value = 24, key_heads = latent ? 1 : 2;
        std::vector<int32_t> sequences(size_t(n), 1), positions;
        for (int32_t p = 0; p < n; p++) positions.push_back(p);
        const Tensor q = t.dense(dtype, {n, heads, width}), k = t.dense(dtype, {n, key_heads, width}),
                     v = t.dense(dtype, {n, key_heads, value});
        LayerCache cache;
        if (latent) {
          cache.latent = t.dense_out(dtype, {kBlocks, kCacheBlock, width});
        } else {
          cache.keys = t.dense_out(dtype, {kBlocks, key_heads, width, kCacheBlock});
          cache.values = t.dense_out(dtype, {kBlocks, key_heads, kCacheBlock, value});
        }
        t.backend.cache_store(cache, k, {}, latent ? Tensor() : v, places_of(t, sequences, positions));
        const Tensor selected = selection(t, positions, 12, 10);
        const auto in_steps = [&](int64_t step) {
          Tensor out = t.dense_out(dtype, {n, heads, value});
          for (int64_t begin = 0; begin < n; begin += step) {
            const int64_t end = std::min<int64_t>(n, begin + step);
            const CachePlaces part = places_of(t, {sequences.begin() + begin, sequences.begin() + end},
                                               {positions.begin() + begin, positions.begin() + end});
            t.backend.cached_attention(out.slice(0, begin, end), q.slice(0, begin, end), cache, part, 0.2,
                                       {0, selected.slice(0, begin, end)});
          }
          return values_of(out);
        };
        const Values want = in_steps(n);
        for (int64_t step : {1, 2, 100}) expect_same_bits(in_steps(step), want, "steps of " + std::to_string(step));
        if (!latent) {
          Tensor out = t.dense_out(dtype, {n, heads, value}), lse = t.dense_out(DType::kF32, {n, heads});
          t.backend.attention_forward(out, lse, {q, k, Tensor(), v, t.ints({0, n}), 0.2, {0, selected}});
          expect_same_bits(values_of(out), want, "the whole sequence");
        }
        // All keys selected: as if nothing were said.
        const CachePlaces all = places_of(t, sequences, positions);
        Tensor plain = t.dense_out(dtype, {n, heads, value}), full = t.dense_out(dtype, {n, heads, value});
        t.backend.cached_attention(plain, q, cache, all, 0.2, {});
        t.backend.cached_attention(full, q, cache, all, 0.2,
                                   {0, t.ints(std::vector<int32_t>(size_t(n) * 12, -1)).view({n, 12})});
        expect_same_bits(values_of(full), values_of(plain), "all selected");
        if (HasFailure()) return;
      }
}

TEST(ParitySelection, Cache) {
  const std::vector<int32_t> sequences = {0, 1, 1, 1, 0}, positions = {200, 301, 302, 303, 63};
  for (DType dtype : kTypes)
    check_parity(
        [&](Trial& t) {
          LayerCache cache;
          cache.latent = t.dense(dtype, {kBlocks, kCacheBlock, 40});
          const Tensor q = t.in(dtype, {5, 8, 40}), out = t.dense_out(dtype, {5, 8, 32});
          t.backend.cached_attention(out, q, cache, places_of(t, sequences, positions), 0.2,
                                     {0, selection(t, positions, 10, 8)});
          t.result("out", out, dtype == DType::kBF16 ? Tolerance{0x1p-7, 0x1p-7} : Tolerance{-1, 4e-6});
        },
        Layout::kAligned);
}

}  // namespace
}  // namespace tenth::testing
