// Weights of 8 or 4 bits: what they hold, and products with them.
#include "backend/parity.h"
#include "tensor/half.h"

namespace tenth::testing {
namespace {

using Form = BlockWeight::Form;

// Rows of blocks of random bytes, but for the scales, halves of a sensible size: the first of a block (Q6_K: the last),
// and what is added or subtracted behind it.
std::vector<std::byte> random_rows(BlockFormat format, int64_t rows, int64_t inputs, uint64_t seed) {
  Rng rng(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(rows * row_bytes(format, inputs)));
  for (std::byte& byte : bytes) byte = std::byte(rng.below(256));
  for (size_t b = 0; b < bytes.size(); b += size_t(block_bytes(format))) {
    const uint16_t scale = float_to_half(float(0.001 + 0.01 * rng.uniform())), least = float_to_half(-0.005f);
    std::memcpy(bytes.data() + b + (format == BlockFormat::kQ6K ? block_bytes(format) - 2 : 0), &scale, 2);
    if (format == BlockFormat::kQ4_1 || format == BlockFormat::kQ4K) std::memcpy(bytes.data() + b + 2, &least, 2);
  }
  return bytes;
}

BlockWeight random_weight(Backend& backend, BlockFormat format, Form form, int64_t groups, int64_t outputs,
                          int64_t inputs) {
  const BlockWeight w = make_block_weight(backend, form, groups, outputs, inputs);
  for (int64_t g = 0; g < groups; g++) {
    const std::vector<std::byte> rows = random_rows(format, outputs, inputs, uint64_t(7 + g));
    // In two runs, as fused projections come.
    const int64_t half = outputs / 2 / BlockWeight::kOutputs * BlockWeight::kOutputs;
    const size_t cut = size_t(half * row_bytes(format, inputs));
    if (half) pack_rows(w, g, 0, half, format, std::span(rows).first(cut));
    pack_rows(w, g, half, outputs - half, format, std::span(rows).subspan(cut));
  }
  return w;
}

struct Kind {
  BlockFormat format;
  Form form;
  double error;  // of a weight against the block it came from, relative to the largest of 32
};
const Kind kKinds[] = {{BlockFormat::kQ8_0, Form::kInt8, 0},        {BlockFormat::kQ4_0, Form::kInt4, 0},
                       {BlockFormat::kQ4_1, Form::kInt4Min, 1e-7},  {BlockFormat::kQ4K, Form::kInt4Min, 1e-3},
                       {BlockFormat::kQ6K, Form::kInt8, 0.5 / 126}, {BlockFormat::kQ4_0, Form::kInt8, 0.5 / 126},
                       {BlockFormat::kQ5_0, Form::kInt8, 0.5 / 126}};

TEST(BlockWeights, HoldWhatTheBlocksSay) {
  for (const Kind& kind : kKinds) {
    SCOPED_TRACE(std::string(name_of(kind.format)) + " as form " + std::to_string(int(kind.form)));
    const int64_t outputs = 37, inputs = 512;
    const std::vector<std::byte> rows = random_rows(kind.format, outputs, inputs, 7);
    const BlockWeight w = random_weight(oracle(), kind.format, kind.form, 1, outputs, inputs);
    std::vector<float> want(512), got(512);
    for (int64_t o = 0; o < outputs; o++) {
      dequantize(kind.format, rows.data() + o * row_bytes(kind.format, inputs), inputs, want.data());
      unpack_row(w, 0, o, got.data());
      for (size_t b = 0; b < want.size(); b += 32) {
        float amax = 0;
        for (size_t i = b; i < b + 32; i++) amax = std::max(amax, std::fabs(want[i]));
        for (size_t i = b; i < b + 32; i++)
          ASSERT_LE(std::fabs(got[i] - want[i]), kind.error * amax) << "output " << o << ", input " << i;
      }
    }
  }
}

TEST(BlockWeights, AreRefusedWhereRowsAreNotWholeBlocks) {
  EXPECT_THROW(make_block_weight(oracle(), Form::kInt8, 1, 16, 48), Error);
}

TEST(ParityBlocks, Linear) {
  for (const Kind& kind : kKinds)
    for (DType dtype : kTypes)
      for (Layout layout : kLayouts)
        for (const auto& [n, o, inputs] : {std::array<int64_t, 3>{1, 16, 256},
                                           {0, 16, 256},
                                           {1, 77, 256},
                                           {2, 40, 512},
                                           {7, 33, 256},
                                           {13, 130, 256},
                                           {100, 17, 256}}) {
          SCOPED_TRACE(fmt::format("{} as form {}, {}, N {} O {} I {}", name_of(kind.format), int(kind.form),
                                   text_of(dtype, layout), n, o, inputs));
          check_parity(
              [&, n = n, o = o, inputs = inputs](Trial& t) {
                const Tensor x = t.in(dtype, {n, inputs}), bias = n % 2 ? t.dense(DType::kF32, {o}) : Tensor();
                const Tensor y = t.out(n == 7 ? DType::kF32 : dtype, {n, o});
                BlockWeight w = random_weight(t.backend, kind.format, kind.form, 1, o, inputs);
                for (bool fine : {false, true}) {
                  w.fine = fine;
                  t.backend.block_linear_forward(y, x, w, bias, {});
                  // The second step's codes, worth 1/254 of the first's, may differ by one where what was left is a
                  // tie.
                  t.result(fine ? "fine y" : "y", y, {-1, fine ? 4e-5 : 4e-6},
                           Values(size_t(n * o), double(inputs) * 0.5));
                }
              },
              layout);
          if (::testing::Test::HasFailure()) return;
        }
}

TEST(ParityBlocks, GroupedLinear) {
  for (const std::vector<int32_t>& offsets : {std::vector<int32_t>{0, 3, 3, 10}, {0, 0, 0, 1}, {0, 0, 0, 0}})
    for (DType dtype : kTypes)
      check_parity(
          [&](Trial& t) {
            const int64_t n = offsets.back(), o = 48, inputs = 256;
            const Tensor x = t.in(dtype, {n, inputs}), y = t.out(dtype, {n, o});
            t.backend.block_linear_forward(
                y, x, random_weight(t.backend, BlockFormat::kQ4_0, Form::kInt4, 3, o, inputs), {}, t.ints(offsets));
            t.result("y", y, {-1, 4e-6}, Values(size_t(n * o), double(inputs) * 0.5));
          },
          Layout::kRowsApart);
}

// As mla_absorb: rows and heads apart, results in the first columns of wider rows.
TEST(ParityBlocks, Heads) {
  for (int64_t n : {0, 1, 2, 9})
    for (DType dtype : kTypes)
      for (Layout layout : kLayouts) {
        SCOPED_TRACE(fmt::format("{}, N {}", text_of(dtype, layout), n));
        check_parity(
            [&](Trial& t) {
              const int64_t heads = 3, o = 77, inputs = 64;
              const Tensor x = t.in(dtype, {n, heads, inputs + 5}), y = t.in(dtype, {n, heads, o + 7});
              t.backend.block_heads_forward(
                  y, x.slice(2, 0, inputs),
                  random_weight(t.backend, BlockFormat::kQ4_0, Form::kInt4, heads, o, inputs));
              t.result("y", y, {-1, 4e-6}, Values(size_t(y.count()), double(inputs) * 0.5));
            },
            layout);
        if (::testing::Test::HasFailure()) return;
      }
}

TEST(ParityBlocks, Embedding) {
  for (DType dtype : kTypes)
    check_parity(
        [&](Trial& t) {
          const Tensor y = t.out(dtype, {4, 256});
          const BlockWeight w = random_weight(t.backend, BlockFormat::kQ6K, Form::kInt8, 1, 40, 256);
          t.backend.block_embedding_forward(y, t.ints({39, 0, 17, 17}), w);
          t.result("y", y, {dtype == DType::kF32 ? 0 : 0x1p-8, 0});
        },
        Layout::kRowsApart);
}

// A token's result is the same bits in whatever batch it runs.
TEST(ParityBlocks, RowsDoNotSeeEachOther) {
  const int64_t n = 23, inputs = 256, o = 50;
  Trial t(subject(), Layout::kAligned, 3);
  const Tensor x = t.in(DType::kBF16, {n, inputs}), all = t.out(DType::kF32, {n, o});
  const BlockWeight w = random_weight(subject(), BlockFormat::kQ4K, Form::kInt4Min, 1, o, inputs);
  subject().block_linear_forward(all, x, w, {}, {});
  for (int64_t i = 0; i < n; i++) {
    const Tensor one = t.out(DType::kF32, {1, o});
    subject().block_linear_forward(one, x.slice(0, i, i + 1), w, {}, {});
    EXPECT_EQ(values_of(one), values_of(all.slice(0, i, i + 1))) << "row " << i;
  }
}

TEST(ParityBlocks, WhatIsNotFiniteStaysVisible) {
  for (float bad : {INFINITY, -INFINITY, NAN}) {
    Trial t(subject(), Layout::kAligned, 3);
    const Tensor x = t.in(DType::kF32, {1, 256}), y = t.out(DType::kF32, {1, 16});
    x.data<float>()[100] = bad;
    subject().block_linear_forward(y, x, random_weight(subject(), BlockFormat::kQ8_0, Form::kInt8, 1, 16, 256), {}, {});
    for (double value : values_of(y)) EXPECT_TRUE(std::isnan(value));
  }
}

}  // namespace
}  // namespace tenth::testing
