// linear, grouped linear, matmul, embedding.
#include "backend/parity.h"

namespace tenth::testing {
namespace {

struct Size {
  int64_t n, i, o;
};
const Size kSizes[] = {{0, 5, 3},    {1, 1, 1},      {1, 64, 48},   {3, 7, 5},   {2, 257, 129}, {17, 33, 65},
                       {64, 64, 64}, {129, 100, 31}, {5, 300, 256}, {33, 1, 17}, {7, 48, 1},    {70, 96, 192}};

std::string text_of(const Size& size) {
  return "N " + std::to_string(size.n) + " I " + std::to_string(size.i) + " O " + std::to_string(size.o);
}

Tensor absolute(const Tensor& t) {
  Values values = values_of(t);
  for (double& value : values) value = std::fabs(value);
  return tensor_of(oracle(), t.dtype() == DType::kI32 ? DType::kI32 : DType::kF64, t.shape(), values);
}

// The sums of |terms|: the same operation over absolute values, in f64.
Values forward_magnitudes(Trial& t, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& offsets,
                          int64_t o) {
  if (!t.oracle()) return {};
  Tensor y = full(oracle(), DType::kF64, {x.dim(0), o}, 0);
  oracle().linear_forward(y, absolute(x), absolute(w), {}, bias ? absolute(bias) : Tensor(), offsets);
  return values_of(y);
}

Values input_magnitudes(Trial& t, const Tensor& dy, const Tensor& w, const Tensor& offsets, int64_t i) {
  if (!t.oracle()) return {};
  Tensor dx = full(oracle(), DType::kF64, {dy.dim(0), i}, 0);
  oracle().linear_backward_input(dx, absolute(dy), absolute(w), offsets, true);
  return values_of(dx);
}

Values weight_magnitudes(Trial& t, const Tensor& before, const Tensor& dy, const Tensor& x, const Tensor& offsets) {
  if (!t.oracle()) return {};
  Tensor dw = absolute(before);
  oracle().linear_backward_weight(dw, {}, absolute(dy), absolute(x), offsets, false);
  return values_of(dw);
}

// A gradient in f32 beside a bfloat16 weight or activation may be rounded to bfloat16 before the product.
Tolerance mixed(DType dy, DType compute) { return dy == compute ? Tolerance{} : Tolerance{-1, 0x1p-8}; }

template <class Body>
void each_case(const Body& body) {
  for (DType dtype : kTypes)
    for (Layout layout : kLayouts)
      for (const Size& size : kSizes) {
        SCOPED_TRACE(text_of(dtype, layout) + " " + text_of(size));
        body(dtype, layout, size);
        if (::testing::Test::HasFailure()) return;
      }
}

void forward_case(Trial& t, DType dtype, DType y_dtype, const Size& size, bool biased, bool packed) {
  Tensor x = t.in(dtype, {size.n, size.i}), w = t.dense(dtype, {size.o, size.i});
  Tensor bias = t.dense(gradient_type(dtype), {size.o});
  if (!biased) bias = {};
  Tensor y = t.out(y_dtype, {size.n, size.o});
  t.backend.linear_forward(y, x, w, packed ? t.backend.pack_weight(w) : Tensor(), bias, {});
  t.result("y", y, {}, forward_magnitudes(t, x, w, bias, {}, size.o));
}

TEST(ParityLinear, Forward) {
  each_case([](DType dtype, Layout layout, const Size& size) {
    for (DType y_dtype : {dtype, DType::kF32})
      for (bool packed : {false, true}) {
        SCOPED_TRACE(std::string(packed ? "packed" : "not packed") + ", y " + std::string(name_of(y_dtype)));
        check_parity([&](Trial& t) { forward_case(t, dtype, y_dtype, size, packed, packed); }, layout);
        check_parity([&](Trial& t) { forward_case(t, dtype, y_dtype, size, !packed, packed); }, layout);
      }
  });
}

TEST(ParityLinear, BackwardInput) {
  each_case([](DType dtype, Layout layout, const Size& size) {
    for (DType dy_dtype : {dtype, DType::kF32})
      check_parity(
          [&](Trial& t) {
            Tensor dy = t.in(dy_dtype, {size.n, size.o}), w = t.dense(dtype, {size.o, size.i});
            Tensor dx = t.out(dtype, {size.n, size.i});
            t.backend.linear_backward_input(dx, dy, w, {}, true);
            t.result("dx", dx, mixed(dy_dtype, dtype), input_magnitudes(t, dy, w, {}, size.i));
            Tensor sum = t.in(DType::kF32, {size.n, size.i});
            const Values magnitudes = input_magnitudes(t, dy, w, {}, size.i), before = values_of(sum);
            t.backend.linear_backward_input(sum, dy, w, {}, false);
            Values both = magnitudes;
            for (size_t i = 0; i < both.size(); i++) both[i] += std::fabs(before[i]);
            t.result("sum", sum, mixed(dy_dtype, dtype), both);
          },
          layout);
  });
}

TEST(ParityLinear, BackwardWeight) {
  each_case([](DType dtype, Layout layout, const Size& size) {
    for (auto [dy_dtype, assign] : {std::pair{dtype, false}, {dtype, true}, {DType::kF32, false}})
      check_parity(
          [&, dy_dtype = dy_dtype, assign = assign](Trial& t) {
            Tensor dy = t.in(dy_dtype, {size.n, size.o}), x = t.in(dtype, {size.n, size.i});
            Tensor dw = t.dense(DType::kF32, {size.o, size.i}), dbias = t.dense(DType::kF32, {size.o});
            Tensor magnitude_from = t.oracle() ? absolute(dw) : Tensor();
            t.backend.linear_backward_weight(dw, dbias, dy, x, {}, assign);
            t.result("dw", dw, mixed(dy_dtype, dtype), weight_magnitudes(t, magnitude_from, dy, x, {}));
            t.result("dbias", dbias, {-1, 4e-6});
          },
          layout);
  });
}

const std::vector<std::vector<int32_t>> kOffsets = {
    {0, 0, 3, 4, 4, 21}, {0, 0, 0}, {0, 1}, {0, 16, 16, 80, 113}, {0, 5, 10, 15, 20, 25, 30, 35, 40}};

template <class Body>
void each_grouped_case(const Body& body) {
  for (DType dtype : kTypes)
    for (Layout layout : kLayouts)
      for (const auto& offsets : kOffsets)
        for (auto [i, o] : {std::pair<int64_t, int64_t>{33, 17}, {64, 96}, {5, 131}}) {
          SCOPED_TRACE(text_of(dtype, layout) + " experts " + std::to_string(offsets.size() - 1) + " I " +
                       std::to_string(i) + " O " + std::to_string(o));
          body(dtype, layout, offsets, Size{offsets.back(), i, o});
          if (::testing::Test::HasFailure()) return;
        }
}

TEST(ParityGrouped, Forward) {
  each_grouped_case([](DType dtype, Layout layout, const std::vector<int32_t>& bounds, const Size& size) {
    for (bool packed : {false, true})
      check_parity(
          [&](Trial& t) {
            Tensor x = t.in(dtype, {size.n, size.i}), offsets = t.ints(bounds);
            Tensor w = t.dense(dtype, {int64_t(bounds.size()) - 1, size.o, size.i}), y = t.out(dtype, {size.n, size.o});
            t.backend.linear_forward(y, x, w, packed ? t.backend.pack_weight(w) : Tensor(), {}, offsets);
            t.result("y", y, {}, forward_magnitudes(t, x, w, {}, offsets, size.o));
          },
          layout);
  });
}

TEST(ParityGrouped, BackwardInput) {
  each_grouped_case([](DType dtype, Layout layout, const std::vector<int32_t>& bounds, const Size& size) {
    check_parity(
        [&](Trial& t) {
          Tensor dy = t.in(dtype, {size.n, size.o}), offsets = t.ints(bounds);
          Tensor w = t.dense(dtype, {int64_t(bounds.size()) - 1, size.o, size.i}), dx = t.out(dtype, {size.n, size.i});
          t.backend.linear_backward_input(dx, dy, w, offsets, true);
          t.result("dx", dx, {}, input_magnitudes(t, dy, w, offsets, size.i));
        },
        layout);
  });
}

TEST(ParityGrouped, BackwardWeight) {
  each_grouped_case([](DType dtype, Layout layout, const std::vector<int32_t>& bounds, const Size& size) {
    for (const bool assign : {false, true})
      check_parity(
          [&](Trial& t) {
            Tensor dy = t.in(dtype, {size.n, size.o}), x = t.in(dtype, {size.n, size.i}), offsets = t.ints(bounds);
            Tensor dw = t.dense(DType::kF32, {int64_t(bounds.size()) - 1, size.o, size.i});
            Tensor magnitude_from = t.oracle() ? absolute(dw) : Tensor();
            t.backend.linear_backward_weight(dw, {}, dy, x, offsets, assign);
            t.result("dw", dw, {}, weight_magnitudes(t, magnitude_from, dy, x, offsets));
          },
          layout);
  });
}

// A row has the same bits in any batch, and whether or not the weight was packed.
TEST(ParityLinear, RowsAlone) {
  for (DType dtype : kTypes)
    for (const Size& size : kSizes) {
      if (size.n < 1) continue;
      SCOPED_TRACE(std::string(name_of(dtype)) + " " + text_of(size));
      Trial t(subject(), Layout::kAligned, 3);
      Tensor x = t.in(dtype, {size.n, size.i}), w = t.dense(dtype, {size.o, size.i});
      Tensor bias = t.dense(DType::kF32, {size.o}), packed = t.backend.pack_weight(w);
      auto run = [&](const Tensor& layout, int64_t begin, int64_t end) {
        Tensor y = t.out(dtype, {end - begin, size.o});
        t.backend.linear_forward(y, x.slice(0, begin, end), w, layout, bias, {});
        return values_of(y);
      };
      check_rows_alone(size.n, [&](int64_t begin, int64_t end) { return run({}, begin, end); });
      check_rows_alone(size.n, [&](int64_t begin, int64_t end) { return run(packed, begin, end); });
      expect_same_bits(run(packed, 0, size.n), run({}, 0, size.n), "packed against not packed");
      if (HasFailure()) return;
    }
}

TEST(ParityGrouped, RowsAlone) {
  for (DType dtype : kTypes) {
    SCOPED_TRACE(name_of(dtype));
    Trial t(subject(), Layout::kAligned, 3);
    const std::vector<int32_t> bounds = {0, 0, 3, 4, 4, 21, 53};
    const int64_t experts = int64_t(bounds.size()) - 1, n = bounds.back();
    Tensor x = t.in(dtype, {n, 70}), w = t.dense(dtype, {experts, 37, 70}), packed = t.backend.pack_weight(w);
    for (bool use_packed : {false, true}) {
      check_rows_alone(n, [&](int64_t begin, int64_t end) {
        std::vector<int32_t> part;
        for (int32_t bound : bounds) part.push_back(int32_t(std::clamp<int64_t>(bound, begin, end) - begin));
        Tensor y = t.out(dtype, {end - begin, 37});
        t.backend.linear_forward(y, x.slice(0, begin, end), w, use_packed ? packed : Tensor(), {}, t.ints(part));
        return values_of(y);
      });
      // The rows of one expert are a plain linear over its weight.
      Tensor grouped = t.out(dtype, {n, 37}), plain = t.out(dtype, {32, 37});
      t.backend.linear_forward(grouped, x, w, use_packed ? packed : Tensor(), {}, t.ints(bounds));
      t.backend.linear_forward(plain, x.slice(0, 21, 53), w[5], {}, {}, {});
      expect_same_bits(values_of(grouped.slice(0, 21, 53)), values_of(plain), "grouped against plain");
    }
  }
}

TEST(ParityLinear, NaNStaysInItsRow) {
  for (DType dtype : kTypes)
    for (double poison : {kNaN, kInfinity}) {
      SCOPED_TRACE(name_of(dtype));
      Trial t(subject(), Layout::kAligned, 4);
      Tensor x = t.in(dtype, {9, 33}), w = t.dense(dtype, {20, 33}), y = t.out(dtype, {9, 20});
      write(x, offset_of(x, 4 * 33 + 32), poison);
      t.backend.linear_forward(y, x, w, {}, {}, {});
      const Values got = values_of(y);
      for (size_t i = 0; i < got.size(); i++) EXPECT_EQ(std::isfinite(got[i]), i / 20 != 4) << i;
    }
}

TEST(ParityMatmul, AllTransposes) {
  for (Layout layout : kLayouts)
    for (const Size& size : kSizes)
      for (int transposes = 0; transposes < 4; transposes++) {
        const bool ta = transposes & 1, tb = transposes & 2;
        SCOPED_TRACE(text_of(DType::kF32, layout) + " " + text_of(size) + (ta ? " a^T" : "") + (tb ? " b^T" : ""));
        check_parity(
            [&](Trial& t) {
              Tensor a = ta ? t.in(DType::kF32, {size.i, size.n}) : t.in(DType::kF32, {size.n, size.i});
              Tensor b = tb ? t.in(DType::kF32, {size.o, size.i}) : t.in(DType::kF32, {size.i, size.o});
              Tensor c = t.out(DType::kF32, {size.n, size.o});
              Tensor add = t.in(DType::kF32, {size.n, size.o});
              t.backend.matmul(c, a, ta, b, tb, {.alpha = 0.7, .add = add, .beta = -1.3});
              Values magnitudes;
              if (t.oracle()) {
                Tensor m = full(oracle(), DType::kF64, {size.n, size.o}, 0);
                oracle().matmul(m, absolute(a), ta, absolute(b), tb, {.add = absolute(add), .beta = 1.3});
                magnitudes = values_of(m);
              }
              t.result("c", c, {}, magnitudes);
            },
            layout);
        if (HasFailure()) return;
      }
}

// Both halves are those of the whole product, to the bit, over several blocks and for any number of threads.
TEST(ParityMatmul, SymmetricProducts) {
  for (const DType dtype : kTypes)
    for (const int64_t n : {1, 5, 16, 33, 64, 96, 129, 300, 700})
      for (const int threads : {1, 3}) {
        SCOPED_TRACE(fmt::format("{} n {} threads {}", name_of(dtype), n, threads));
        const int before = thread_count();
        set_thread_count(threads);
        Rng rng{uint64_t(n)};
        const Tensor x = random_tensor(subject(), dtype, {n, 40}, rng);
        Tensor a = Tensor::make(subject(), dtype, {n, n}), b = Tensor::make(subject(), dtype, {n, n});
        Tensor whole = Tensor::make(subject(), dtype, {n, n});
        subject().matmul(a, x, false, x, true, {.symmetric = true});
        subject().matmul(whole, x, false, x, true, {});
        expect_same_bits(values_of(a), values_of(whole), "x x^T");
        const Tensor tall = random_tensor(subject(), dtype, {40, n}, rng);
        subject().matmul(a, tall, true, tall, false, {.symmetric = true});
        subject().matmul(whole, tall, true, tall, false, {});
        expect_same_bits(values_of(a), values_of(whole), "x^T x");
        subject().matmul(b, a, false, a, false, {.symmetric = true, .alpha = 2, .add = a, .beta = -4});
        subject().matmul(whole, a, false, a, false, {.alpha = 2, .add = a, .beta = -4});
        expect_same_bits(values_of(b), values_of(whole), "a a");
        set_thread_count(before);
      }
}

TEST(ParityEmbedding, ForwardAndBackward) {
  for (DType dtype : kTypes)
    for (int64_t n : {0, 1, 5, 300})
      for (int64_t width : {1, 8, 33, 130}) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " N " + std::to_string(n) + " D " + std::to_string(width));
        check_parity([&](Trial& t) {
          std::vector<int32_t> ids;
          for (int64_t i = 0; i < n; i++) ids.push_back(int32_t(t.rng().below(11)));
          Tensor index = t.ints(ids), w = t.dense(dtype, {11, width}), y = t.dense_out(dtype, {n, width});
          t.backend.embedding_forward(y, index, w);
          t.result("y", y, {0, 0});
          Tensor dy = t.dense(dtype, {n, width}), dw = t.dense(DType::kF32, {11, width});
          t.backend.embedding_backward(dw, dy, index);
          t.result("dw", dw, {-1, 4e-6});
        });
      }
}

}  // namespace
}  // namespace tenth::testing
