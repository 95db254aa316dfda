// The matrix kernels of every instruction set that this machine has, and of AMX with emulated tiles: products of small
// integers are exact, so every element must be equal to a sum of integers, whatever the shape, layout and types. Memory
// around the operands is NaN (a stray read shows in a result) and memory around the result is checked.
#include "backend/cpu/gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/cpu/kernels.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/threads.h"
#include "tensor/dtype.h"

namespace tenth::cpu {
namespace {

struct NamedKernels {
  std::string name;
  const GemmKernels* kernels;
  bool bf16;  // type of B
};

std::vector<NamedKernels> all_kernels() {
  std::vector<NamedKernels> list = {{"amx_emulated", &kGemmBf16AmxEmulated, true}};
  for (Isa isa : kIsas) {
    if (!isa_available(isa)) continue;
    list.push_back({std::string(name_of(isa)) + "_f32", kernels_of(isa).gemm_f32, false});
    list.push_back({std::string(name_of(isa)) + "_bf16", kernels_of(isa).gemm_bf16, true});
  }
  return list;
}

// A matrix of either type with rows apart, NaN between and around them.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t columns, bool f32) : columns_(columns), stride_(columns + 3), f32_(f32) {
    const size_t count = size_t((rows + 2) * stride_);
    if (f32)
      floats_.assign(count, std::numeric_limits<float>::quiet_NaN());
    else
      halves_.assign(count, bf16(std::numeric_limits<float>::quiet_NaN()));
  }
  void set(int64_t r, int64_t c, float value) {
    if (f32_)
      floats_[index(r, c)] = value;
    else
      halves_[index(r, c)] = bf16(value);
  }
  float get(int64_t r, int64_t c) const { return f32_ ? floats_[index(r, c)] : float(halves_[index(r, c)]); }
  void fill(Rng& rng, bool integers) {
    const int64_t rows = int64_t(f32_ ? floats_.size() : halves_.size()) / stride_ - 2;
    for (int64_t r = 0; r < rows; r++) {
      for (int64_t c = 0; c < columns_; c++) set(r, c, integers ? float(rng.between(-3, 3)) : float(rng.normal()));
    }
  }
  void* data() { return f32_ ? static_cast<void*>(&floats_[index(0, 0)]) : static_cast<void*>(&halves_[index(0, 0)]); }
  int64_t stride() const { return stride_; }
  bool f32() const { return f32_; }
  bool only_inside_written(int64_t rows) const {
    const int64_t all = int64_t(f32_ ? floats_.size() : halves_.size());
    for (int64_t i = 0; i < all; i++) {
      const int64_t r = i / stride_ - 1, c = i % stride_ - 1;
      if (r >= 0 && r < rows && c >= 0 && c < columns_) continue;
      if (!std::isnan(f32_ ? floats_[size_t(i)] : float(halves_[size_t(i)]))) return false;
    }
    return true;
  }

 private:
  size_t index(int64_t r, int64_t c) const { return size_t((r + 1) * stride_ + c + 1); }
  int64_t columns_, stride_;
  bool f32_;
  std::vector<float> floats_;
  std::vector<bf16> halves_;
};

struct Case {
  int64_t m, n, k;
  bool a_transposed = false, a_f32 = false, c_f32 = true, accumulate = false, with_bias = false;
  GemmLayout layout = GemmLayout::kColumns;
};

std::string text(const Case& c) {
  return fmt::format("m {} n {} k {} a_transposed {} a_f32 {} c_f32 {} accumulate {} bias {} layout {}", c.m, c.n, c.k,
                     c.a_transposed, c.a_f32, c.c_f32, c.accumulate, c.with_bias, int(c.layout));
}

// The operands of a case, and the task that multiplies them.
struct Product {
  Product(const NamedKernels& named, const Case& c, bool integers)
      : a(c.a_transposed ? c.k : c.m, c.a_transposed ? c.m : c.k, c.a_f32 || !named.bf16),
        b(c.layout == GemmLayout::kRows ? c.k : c.n, c.layout == GemmLayout::kRows ? c.n : c.k, !named.bf16),
        result(c.m, c.n, c.c_f32 || !named.bf16),
        bias(size_t(c.n)) {
    Rng rng(uint64_t(c.m * 1'000'003 + c.n * 1009 + c.k));
    a.fill(rng, integers);
    b.fill(rng, integers);
    if (c.accumulate) result.fill(rng, integers);
    for (float& x : bias) x = float(rng.between(-9, 9));
    before = result;
    task = {.m = c.m,
            .n = c.n,
            .k = c.k,
            .a = a.data(),
            .a_stride = a.stride(),
            .a_transposed = c.a_transposed,
            .a_f32 = a.f32(),
            .b = b.data(),
            .b_stride = b.stride(),
            .b_layout = c.layout,
            .c = result.data(),
            .c_stride = result.stride(),
            .c_f32 = result.f32(),
            .accumulate = c.accumulate,
            .bias = c.with_bias ? bias.data() : nullptr};
    if (c.layout == GemmLayout::kPanels) pack(*named.kernels, named.bf16 ? 2 : 4);
  }
  void pack(const GemmKernels& kernels, int64_t size) {
    const int64_t elements = panel_elements(kernels, task.k), panels = panel_count(kernels, task.n);
    panels_storage.resize(size_t(panels * elements * size) + 1);
    for (int64_t p = 0; p < panels; p++) {
      const int64_t first = p * kernels.panel;
      kernels.pack(panels_storage.data() + p * elements * size,
                   static_cast<char*>(b.data()) + first * b.stride() * size, b.stride(), GemmLayout::kColumns, task.k,
                   std::min<int64_t>(kernels.panel, task.n - first));
    }
    task.b = panels_storage.data();
  }
  float expected(const Case& c, int64_t i, int64_t j) const {
    double sum = c.accumulate ? before.get(i, j) : c.with_bias ? bias[size_t(j)] : 0;
    for (int64_t k = 0; k < c.k; k++) {
      sum += double(c.a_transposed ? a.get(k, i) : a.get(i, k)) *
             double(c.layout == GemmLayout::kRows ? b.get(k, j) : b.get(j, k));
    }
    return result.f32() ? float(sum) : float(bf16(sum));
  }

  Matrix a, b, result, before{0, 0, true};
  std::vector<float> bias;
  std::vector<char> panels_storage;
  GemmTask task;
};

void expect_exact(const NamedKernels& named, const Case& c) {
  Product p(named, c, true);
  run_tasks(*named.kernels, std::span(&p.task, 1));
  int wrong = 0;
  for (int64_t i = 0; i < c.m; i++) {
    for (int64_t j = 0; j < c.n; j++) wrong += p.result.get(i, j) != p.expected(c, i, j);
  }
  EXPECT_EQ(wrong, 0) << "elements of " << c.m * c.n << "; " << text(c);
  EXPECT_TRUE(p.result.only_inside_written(c.m)) << text(c);
}

constexpr GemmLayout kLayouts[] = {GemmLayout::kPanels, GemmLayout::kRows, GemmLayout::kColumns};

class Gemm : public testing::TestWithParam<NamedKernels> {};

TEST_P(Gemm, EveryNumberOfRows) {
  for (int64_t m = 0; m <= 2 * GetParam().kernels->rows + 1; m++) {
    for (GemmLayout layout : kLayouts) {
      expect_exact(GetParam(), {.m = m, .n = GetParam().kernels->panel + 3, .k = 37, .layout = layout});
      expect_exact(GetParam(),
                   {.m = m, .n = GetParam().kernels->panel, .k = 34, .a_transposed = true, .layout = layout});
    }
  }
}

TEST_P(Gemm, EveryNumberOfColumns) {
  for (int64_t n = 0; n <= 2 * GetParam().kernels->panel + 1; n++) {
    for (GemmLayout layout : kLayouts) {
      for (bool c_f32 : {false, true}) {
        expect_exact(GetParam(), {.m = 5, .n = n, .k = 19, .c_f32 = c_f32, .layout = layout});
        expect_exact(GetParam(), {.m = 40, .n = n, .k = 8, .c_f32 = c_f32, .layout = layout});
      }
    }
  }
}

TEST_P(Gemm, EveryDepth) {
  std::vector<int64_t> depths = {127, 128, 129, 511, 512, 513, 1023, 1024, 1057};
  for (int64_t k = 0; k <= 66; k++) depths.push_back(k);
  for (int64_t k : depths) {
    for (GemmLayout layout : kLayouts) {
      for (bool transposed : {false, true}) {
        expect_exact(GetParam(), {.m = 17, .n = 33, .k = k, .a_transposed = transposed, .layout = layout});
        expect_exact(GetParam(),
                     {.m = 3, .n = 40, .k = k, .a_transposed = transposed, .c_f32 = false, .layout = layout});
      }
    }
  }
}

TEST_P(Gemm, TypesBiasAndAccumulation) {
  for (int64_t k : {0, 1, 30, 600}) {
    for (GemmLayout layout : kLayouts) {
      for (bool a_f32 : {false, true}) {
        for (bool transposed : {false, true}) {
          Case c = {.m = 35, .n = 70, .k = k, .a_transposed = transposed, .a_f32 = a_f32, .layout = layout};
          c.with_bias = true;
          expect_exact(GetParam(), c);
          c.c_f32 = false;
          expect_exact(GetParam(), c);
          c.with_bias = false;
          expect_exact(GetParam(), c);
          c.c_f32 = c.accumulate = true;
          expect_exact(GetParam(), c);
        }
      }
    }
  }
}

// More rows, columns and depth than one cache block, several parts for threads, strides that are powers of two.
TEST_P(Gemm, LargerThanABlock) {
  for (bool transposed : {false, true}) {
    for (bool c_f32 : {false, true}) {
      expect_exact(GetParam(), {.m = 250, .n = 70, .k = 530, .a_transposed = transposed, .c_f32 = c_f32});
    }
  }
  expect_exact(GetParam(), {.m = 20, .n = 600, .k = 530, .c_f32 = false, .layout = GemmLayout::kPanels});
  expect_exact(GetParam(),
               {.m = 64, .n = 64, .k = 1021, .layout = GemmLayout::kPanels});  // rows 4096 (or 2048) bytes apart
}

// A row's result is the same bits alone, among others, and under any number of threads.
TEST_P(Gemm, RowsAndThreadsLeaveNoTrace) {
  const int threads = thread_count();
  for (const Case& whole : {Case{.m = 67, .n = 97, .k = 700, .layout = GemmLayout::kPanels},
                            Case{.m = 67, .n = 97, .k = 700, .c_f32 = false, .layout = GemmLayout::kPanels},
                            Case{.m = 67, .n = 96, .k = 129, .layout = GemmLayout::kRows}}) {
    Product all(GetParam(), whole, false), cut(GetParam(), whole, false);
    set_thread_count(1);
    run_tasks(*GetParam().kernels, std::span(&all.task, 1));
    set_thread_count(3);
    run_tasks(*GetParam().kernels, std::span(&cut.task, 1));
    set_thread_count(threads);
    int differ = 0;
    const auto compare = [&] {
      for (int64_t i = 0; i < whole.m; i++) {
        for (int64_t j = 0; j < whole.n; j++) differ += all.result.get(i, j) != cut.result.get(i, j);
      }
    };
    compare();
    EXPECT_EQ(differ, 0) << "threads; " << text(whole);
    std::vector<GemmTask> rows;
    for (int64_t first = 0, height = 1; first < whole.m; first += height, height = height % 17 + 3) {
      GemmTask t = cut.task;
      t.m = std::min(height, whole.m - first);
      t.a = static_cast<const char*>(t.a) + first * t.a_stride * (t.a_f32 ? 4 : 2);
      t.c = static_cast<char*>(t.c) + first * t.c_stride * (t.c_f32 ? 4 : 2);
      rows.push_back(t);
    }
    run_tasks(*GetParam().kernels, rows);
    compare();
    EXPECT_EQ(differ, 0) << "rows in groups of other sizes; " << text(whole);
  }
}

// Against sums in double, of normal numbers: float32 sums of k products are wrong by at most about k ulp of the sum of
// their magnitudes.
TEST_P(Gemm, RoundsAsFloat32SumsDo) {
  const Case c = {.m = 40, .n = 50, .k = 333, .layout = GemmLayout::kPanels};
  Product p(GetParam(), c, false);
  run_tasks(*GetParam().kernels, std::span(&p.task, 1));
  for (int64_t i = 0; i < c.m; i++) {
    for (int64_t j = 0; j < c.n; j++) {
      double magnitude = 0;
      for (int64_t k = 0; k < c.k; k++) magnitude += std::abs(double(p.a.get(i, k)) * double(p.b.get(j, k)));
      ASSERT_NEAR(p.result.get(i, j), p.expected(c, i, j), magnitude * 333 * 6e-8);
    }
  }
}

TEST_P(Gemm, NaNAndInfinityPass) {
  const Case c = {.m = 9, .n = 35, .k = 20, .layout = GemmLayout::kPanels};
  Product p(GetParam(), c, true);
  p.a.set(2, 7, std::numeric_limits<float>::quiet_NaN());
  p.a.set(4, 0, std::numeric_limits<float>::infinity());
  run_tasks(*GetParam().kernels, std::span(&p.task, 1));
  for (int64_t j = 0; j < c.n; j++) {
    EXPECT_TRUE(std::isnan(p.result.get(2, j)));
    EXPECT_FALSE(std::isfinite(p.result.get(4, j)));
    EXPECT_TRUE(std::isfinite(p.result.get(3, j)));
  }
}

INSTANTIATE_TEST_SUITE_P(, Gemm, testing::ValuesIn(all_kernels()), [](const auto& info) { return info.param.name; });

// The experts of a layer: many tasks of uneven height in one call, among them empty ones.
TEST(GemmTasks, UnevenGroups) {
  const GemmKernels& kernels = *cpu::kernels().gemm_f32;
  const NamedKernels named = {"active", &kernels, false};
  std::vector<std::unique_ptr<Product>> products;
  std::vector<Case> cases;
  std::vector<GemmTask> tasks;
  for (int64_t m : {0, 1, 200, 0, 3, 90, 17, 0}) {
    cases.push_back({.m = m, .n = 96, .k = 128, .layout = GemmLayout::kPanels});
    products.push_back(std::make_unique<Product>(named, cases.back(), true));
    tasks.push_back(products.back()->task);
  }
  run_tasks(kernels, tasks);
  for (size_t t = 0; t < cases.size(); t++) {
    int wrong = 0;
    for (int64_t i = 0; i < cases[t].m; i++) {
      for (int64_t j = 0; j < 96; j++) wrong += products[t]->result.get(i, j) != products[t]->expected(cases[t], i, j);
    }
    EXPECT_EQ(wrong, 0) << "group " << t;
  }
}

TEST(Isa, NamesAndErrors) {
  EXPECT_EQ(choose_isa("generic"), Isa::kGeneric);
  EXPECT_TRUE(isa_available(choose_isa("")));
  EXPECT_EQ(choose_isa(""), choose_isa(""));
  try {
    choose_isa("avx9");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "TENTH_CPU: expected generic, avx2, avx512, avx512bf16 or amx, got \"avx9\"");
  }
  for (Isa isa : kIsas) {
    if (isa_available(isa)) {
      EXPECT_EQ(choose_isa(name_of(isa)), isa);
      continue;
    }
    try {
      choose_isa(name_of(isa));
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUnsupported);
    }
  }
}

}  // namespace
}  // namespace tenth::cpu
