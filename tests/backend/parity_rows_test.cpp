// Operations on elements and rows: fill … axpby, AdamW, RMSNorm, rotation, SwiGLU.
#include "backend/parity.h"

namespace tenth::testing {
namespace {

const Shape kShapes[] = {{0},    {1},     {7},      {1000},     {40000},   {0, 5},     {3, 0},
                         {1, 1}, {5, 33}, {64, 64}, {301, 129}, {2, 3, 5}, {7, 4, 65}, {2, 3, 4, 17}};

template <class Body>
void each_shape(const Body& body) {
  for (Layout layout : kLayouts)
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(text_of(DType::kF32, layout) + " " + shape.text());
      body(layout, shape);
      if (::testing::Test::HasFailure()) return;
    }
}

TEST(ParityElementwise, FillAndCopy) {
  each_shape([](Layout layout, const Shape& shape) {
    for (DType to : {DType::kF32, DType::kBF16, DType::kI32})
      check_parity(
          [&](Trial& t) {
            Tensor y = t.out(to, shape);
            t.backend.fill(y, 3);
            t.result("fill", y, {0, 0});
          },
          layout);
    for (DType from : kTypes)
      for (DType to : kTypes)
        check_parity(
            [&](Trial& t) {
              Tensor x = t.in(from, shape), y = t.out(to, shape);
              if (x.count() > 6) write(x, offset_of(x, 5), kNaN), write(x, offset_of(x, 6), -kInfinity);
              t.backend.copy(y, x);
              t.result("copy", y, {0, 0});
            },
            layout);
  });
}

// Strides of every dimension: a slice of columns in the middle, and heads apart.
TEST(ParityElementwise, CopyBetweenViews) {
  for (DType from : kTypes)
    for (DType to : kTypes)
      check_parity([&](Trial& t) {
        Tensor wide = t.in(from, {6, 5, 40}), target = t.in(to, {9, 7, 50});
        t.backend.copy(target.slice(0, 2, 6).slice(1, 1, 4).slice(2, 5, 38),
                       wide.slice(0, 1, 5).slice(1, 2, 5).slice(2, 7, 40));
        t.result("copy", target, {0, 0});
        t.backend.fill(target.slice(0, 3, 8).slice(1, 0, 3).slice(2, 9, 10), -1);
        t.result("fill", target, {0, 0});
      });
}

TEST(ParityElementwise, AddAndScale) {
  each_shape([](Layout layout, const Shape& shape) {
    for (DType a_type : kTypes)
      for (DType b_type : kTypes)
        for (DType y_type : kTypes)
          check_parity(
              [&](Trial& t) {
                Tensor a = t.in(a_type, shape), b = t.in(b_type, shape), y = t.out(y_type, shape);
                t.backend.add(y, a, b);
                t.result("add", y);
                t.backend.add(a, a, b);
                t.result("a += b", a);
                t.backend.add(b, a, b);
                t.result("b += a", b);
              },
              layout);
    for (DType dtype : kTypes)
      check_parity(
          [&](Trial& t) {
            Tensor x = t.in(dtype, shape), y = t.out(dtype, shape);
            t.backend.scale(y, x, -0.37);
            t.result("scale", y);
            t.backend.scale(x, x, 1.7);
            t.result("in place", x);
          },
          layout);
  });
}

TEST(ParityElementwise, SumOfSquares) {
  for (DType dtype : kTypes)
    for (int64_t count : {0, 1, 3, 8, 33, 1000, 4097, 100003})
      check_parity([&](Trial& t) {
        Tensor x = t.dense(dtype, {count});
        t.result("sum of squares", t.backend.sum_of_squares(x), {0, 1e-12});
      });
  check_parity([&](Trial& t) {  // in f64: f32 squares would overflow
    t.result("large", t.backend.sum_of_squares(full(t.backend, DType::kF32, {1001}, 3e30)), {0, 1e-12});
    t.result("NaN", t.backend.sum_of_squares(full(t.backend, DType::kF32, {9}, kNaN)));
  });
}

TEST(ParityOptimizer, AdamWAndAxpby) {
  for (int64_t count : {0, 1, 7, 64, 1001, 70001})
    check_parity(
        [&](Trial& t) {
          Tensor p = t.in(DType::kF32, {count}), m = t.in(DType::kF32, {count}, 0.1), g = t.in(DType::kF32, {count});
          Tensor v = t.in(DType::kF32, {count}, Values(size_t(count), 0.02));
          AdamWArgs args{1e-2, 0.9, 0.95, 1e-8, 0.1, 1, 0.5};
          for (args.step = 1; args.step <= 3; args.step++) t.backend.adamw_step(p, m, v, g, args);
          t.result("p", p);
          t.result("m", m);
          t.result("v", v);
          t.backend.axpby(p, 0.3, g, 0.95);
          t.result("axpby", p);
          t.backend.axpby(p, -2, m, 1);
          t.result("axpby", p);
        },
        Layout::kOffset);
}

const std::pair<int64_t, int64_t> kRows[] = {{0, 8},   {1, 1},   {1, 7},   {3, 16},   {5, 33},
                                             {64, 64}, {2, 515}, {17, 96}, {130, 40}, {1000, 24}};

template <class Body>
void each_rows(const Body& body) {
  for (DType dtype : kTypes)
    for (Layout layout : kLayouts)
      for (auto [n, width] : kRows) {
        SCOPED_TRACE(text_of(dtype, layout) + " " + Shape({n, width}).text());
        body(dtype, layout, n, width);
        if (::testing::Test::HasFailure()) return;
      }
}

TEST(ParityRmsNorm, Forward) {
  each_rows([](DType dtype, Layout layout, int64_t n, int64_t width) {
    for (double size : {1.0, 1e-4, 300.0})
      check_parity(
          [&](Trial& t) {
            Tensor x = t.in(dtype, {n, width}, size), w = t.dense(DType::kF32, {width});
            Tensor y = t.out(dtype, {n, width}), rstd = t.dense_out(DType::kF32, {n});
            t.backend.rms_norm_forward(y, rstd, x, w, 1e-6);
            t.result("y", y);
            t.result("rstd", rstd);
          },
          layout);
  });
}

TEST(ParityRmsNorm, Backward) {
  each_rows([](DType dtype, Layout layout, int64_t n, int64_t width) {
    for (int residual : {0, 1, 2})  // none, apart, in place
      check_parity(
          [&](Trial& t) {
            Tensor x = t.in(dtype, {n, width}), w = t.dense(DType::kF32, {width}), dy = t.in(dtype, {n, width});
            Tensor rstd = tensor_of(t.backend, DType::kF32, {n}, Values(size_t(n), 0.9));
            Tensor dresidual = residual ? t.in(dtype, {n, width}) : Tensor();
            Tensor dx = residual == 2 ? dresidual : t.out(dtype, {n, width}), dw = t.dense(DType::kF32, {width});
            t.backend.rms_norm_backward(dx, dw, dy, dresidual, x, rstd, w);
            t.result("dx", dx);
            t.result("dw", dw, {-1, 4e-6});
          },
          layout);
  });
}

TEST(ParityRmsNorm, RowsAloneAndPoison) {
  for (DType dtype : kTypes)
    for (int64_t width : {1, 24, 33, 515}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + " D " + std::to_string(width));
      Trial t(subject(), Layout::kAligned, 5);
      Tensor x = t.in(dtype, {37, width}), w = t.dense(DType::kF32, {width});
      auto run = [&](int64_t begin, int64_t end) {
        Tensor y = t.out(dtype, {end - begin, width}), rstd = t.out(DType::kF32, {end - begin});
        t.backend.rms_norm_forward(y, rstd, x.slice(0, begin, end), w, 1e-6);
        return values_of(y);
      };
      check_rows_alone(37, run);
      write(x, offset_of(x, 4 * width + width - 1), kNaN);
      const Values got = run(0, 37);
      for (size_t i = 0; i < got.size(); i++) EXPECT_EQ(std::isnan(got[i]), i / size_t(width) == 4) << i;
    }
}

TEST(ParityRope, BothStylesAndDirections) {
  for (DType dtype : kTypes)
    for (Layout layout : kLayouts)
      for (auto [n, heads, width, first, pairs] : {std::array<int64_t, 5>{0, 2, 8, 0, 4},
                                                   {1, 1, 2, 0, 1},
                                                   {5, 3, 24, 16, 4},
                                                   {9, 1, 33, 5, 14},
                                                   {40, 4, 64, 0, 32},
                                                   {6, 2, 10, 4, 3}})
        for (RopeStyle style : {RopeStyle::kAdjacent, RopeStyle::kHalves})
          for (bool inverse : {false, true}) {
            SCOPED_TRACE(text_of(dtype, layout) + " " + Shape({n, heads, width}).text() + " first " +
                         std::to_string(first));
            check_parity(
                [&](Trial& t) {
                  std::vector<int32_t> at;
                  for (int64_t i = 0; i < n; i++) at.push_back(int32_t(t.rng().below(50)));
                  Tensor x = t.in(dtype, {n, heads, width}), y = t.out(dtype, {n, heads, width});
                  Tensor positions = t.ints(at), table = rope_table(t.backend, 50, pairs);
                  t.backend.rope(y, x, positions, table, first, style, inverse);
                  t.result("y", y, {-1, 1e-6});
                  t.backend.rope(x, x, positions, table, first, style, inverse);
                  t.result("in place", x, {-1, 1e-6});
                },
                layout);
            if (HasFailure()) return;
          }
}

TEST(ParitySwiglu, ForwardAndBackward) {
  for (DType dtype : kTypes)
    for (double size : {1.0, 8.0, 60.0})
      for (auto [n, width] : kRows) {
        SCOPED_TRACE(std::string(name_of(dtype)) + " " + Shape({n, width}).text());
        check_parity([&](Trial& t) {
          Tensor gate_up = t.dense(dtype, {n, 2 * width}, size), dy = t.dense(dtype, {n, width});
          Tensor y = t.dense_out(dtype, {n, width}), dgate_up = t.dense_out(dtype, {n, 2 * width});
          t.backend.swiglu_forward(y, gate_up);
          t.result("y", y);
          t.backend.swiglu_backward(dgate_up, dy, gate_up);
          t.result("dgate_up", dgate_up);
        });
        if (HasFailure()) return;
      }
}

TEST(ParitySwiglu, ExtremesRowsAlone) {
  for (DType dtype : kTypes) {
    check_parity([&](Trial& t) {  // no overflow in exp(-g), NaN comes through
      const Values gates = {-1e4, -200, -89, -88, 0, 88, 89, 200, 1e4, kNaN, 1};
      Values gate_up = gates;
      for (size_t i = 0; i < gates.size(); i++) gate_up.push_back(i == 10 ? kInfinity : 0.5);
      Tensor x = t.in(dtype, {1, 22}, gate_up), y = t.out(dtype, {1, 11}), dx = t.out(dtype, {1, 22});
      t.backend.swiglu_forward(y, x);
      t.result("y", y);
      gate_up[21] = 1;
      set_values(x, gate_up);
      t.backend.swiglu_backward(dx, t.in(dtype, {1, 11}, Values(11, 1)), x);
      t.result("dgate_up", dx);
    });
    Trial t(subject(), Layout::kAligned, 6);
    Tensor gate_up = t.in(dtype, {29, 2 * 37});
    check_rows_alone(29, [&](int64_t begin, int64_t end) {
      Tensor y = t.dense_out(dtype, {end - begin, 37});
      t.backend.swiglu_forward(y, gate_up.slice(0, begin, end));
      return values_of(y);
    });
  }
}

}  // namespace
}  // namespace tenth::testing
