// FP8 against golden/formats, bit for bit, and the two backends against each other.
#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "checkpoint/safetensors.h"
#include "shared.h"
#include "tensor_util.h"

namespace tenth::testing {
namespace {

using Tile = Fp8Args::Tile;

Path golden(const std::string& name) { return shared_folder() / "golden" / "formats" / (name + ".safetensors"); }

std::vector<uint8_t> codes_of(const Tensor& t) {
  const fp8_e4m3* first = t.data<fp8_e4m3>();
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < t.count(); i++) codes.push_back(first[i].bits);
  return codes;
}

// Equal bits, or two NaN.
void expect_equal(float got, float want, const std::string& what) {
  EXPECT_TRUE(std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(want) || (std::isnan(got) && std::isnan(want)))
      << what << ": got " << got << ", expected " << want;
}

TEST(Fp8Numbers, EveryCodeIsTheGoldenNumber) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile file(golden("conversions"));
  Backend& backend = get_backend("reference");
  const auto numbers = [&](const char* name) {
    return file.load(std::string("all_bytes.") + name, backend, DType::kF32).to_host<float>();
  };
  const auto e4m3 = numbers("e4m3fn_f32"), e5m2 = numbers("e5m2_f32"), ue8m0 = numbers("e8m0fnu_f32");
  for (int i = 0; i < 256; i++) {
    const std::string code = fmt::format("code {}", i);
    fp8_e4m3 a;
    fp8_e5m2 b;
    fp8_ue8m0 c;
    a.bits = b.bits = c.bits = uint8_t(i);
    expect_equal(a, e4m3[size_t(i)], "e4m3 " + code);
    expect_equal(b, e5m2[size_t(i)], "e5m2 " + code);
    expect_equal(c, ue8m0[size_t(i)], "ue8m0 " + code);
    // And back. An infinity saturates.
    if (std::isfinite(float(a))) {
      EXPECT_EQ(fp8_e4m3(float(a)).bits, i);
    }
    if (std::isfinite(float(b))) {
      EXPECT_EQ(fp8_e5m2(float(b)).bits, i);
    }
    EXPECT_EQ(fp8_ue8m0(float(c)).bits, i);
  }
}

TEST(Fp8Numbers, RoundingIsTheGoldenOne) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile file(golden("conversions"));
  Backend& backend = get_backend("reference");
  const auto input = file.load("input_f32", backend, DType::kF32).to_host<float>();
  const auto e4m3 = file.load("e4m3fn_saturating", backend, DType::kU8).to_host<uint8_t>();
  const auto e5m2 = file.load("e5m2_saturating", backend, DType::kU8).to_host<uint8_t>();
  ASSERT_GT(input.size(), 2000u);
  for (size_t i = 0; i < input.size(); i++) {
    const fp8_e4m3 a(input[i]);
    const fp8_e5m2 b(input[i]);
    if (std::isnan(input[i])) {
      EXPECT_TRUE(std::isnan(float(a)) && std::isnan(float(b)));
      continue;
    }
    EXPECT_EQ(a.bits, e4m3[i]) << input[i];
    EXPECT_EQ(b.bits, e5m2[i]) << input[i];
  }
}

TEST(Fp8Numbers, ScalesOfPowersOfTwoAreRoundedUp) {
  EXPECT_EQ(fp8_scale(448, Fp8Scale::kUe8m0), 1);
  EXPECT_EQ(fp8_scale(449, Fp8Scale::kUe8m0), 2);
  EXPECT_EQ(fp8_scale(224, Fp8Scale::kUe8m0), 0.5);
  EXPECT_EQ(fp8_scale(225, Fp8Scale::kUe8m0), 1);
  EXPECT_EQ(fp8_scale(1, Fp8Scale::kF32), 1.0f / 448);
  EXPECT_TRUE(std::isnan(fp8_scale(float(kInfinity), Fp8Scale::kUe8m0)));
}

class Fp8Blocks : public ::testing::TestWithParam<const char*> {
 protected:
  Backend& backend() { return get_backend(GetParam()); }
};

TEST_P(Fp8Blocks, AreTheGoldenOnes) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile file(golden("fp8_blocks"));
  for (const std::string name : {"activation", "weight"})
    for (const std::string kind : {"plain", "ue8m0"}) {
      const std::string what = name + "." + kind;
      const Fp8Args args = {.tile = name == "weight" ? Tile::kBlock : Tile::kRow,
                            .scale = kind == "plain" ? Fp8Scale::kF32 : Fp8Scale::kUe8m0,
                            .floor = 1e-4};
      const Tensor x = file.load(name, backend(), DType::kF32);
      const Tensor want_scales = file.load(what + ".scale", backend(), DType::kF32);
      const Tensor q = Tensor::make(backend(), DType::kF8E4M3, x.shape());
      const Tensor y = Tensor::make(backend(), DType::kF32, x.shape());
      const Tensor scales = Tensor::make(backend(), DType::kF32, want_scales.shape());
      backend().fp8_quantize(q, scales, x, Tensor(), args);
      backend().fp8_dequantize(y, q, scales, Tensor(), args);
      expect_same_bits(values_of(scales), values_of(want_scales), what + ".scale");
      EXPECT_EQ(codes_of(q), file.load(what + ".fp8", backend(), DType::kU8).to_host<uint8_t>()) << what;
      expect_same_bits(values_of(y), values_of(file.load(what + ".dequantised", backend(), DType::kF32)), what);
      if (kind == "plain") continue;
      const auto exponents = file.load(what + ".scale_exponent_byte", backend(), DType::kU8).to_host<uint8_t>();
      for (size_t i = 0; i < exponents.size(); i++)
        EXPECT_EQ(fp8_ue8m0(float(read(scales, int64_t(i)))).bits, exponents[i]);
    }
}

// A transposed matrix of row tiles is a matrix of column tiles.
TEST_P(Fp8Blocks, ColumnTilesAreRowTilesOfTheTranspose) {
  const int64_t rows = 300, columns = 70;
  Rng rng(3);
  const Values values = random_values(rng, rows * columns);
  Values turned(values.size());
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) turned[size_t(j * rows + i)] = values[size_t(i * columns + j)];
  const auto quantized = [&](Shape shape, const Values& x, Tile tile, Shape scale_shape) {
    const Tensor q = Tensor::make(backend(), DType::kF8E4M3, shape);
    const Tensor scales = full(backend(), DType::kF32, scale_shape, 0);
    backend().fp8_quantize(q, scales, tensor_of(backend(), DType::kF32, shape, x), Tensor(), {.tile = tile});
    return codes_of(q);
  };
  const auto down = quantized({rows, columns}, values, Tile::kColumn, {fp8_tile_rows(rows), columns});
  const auto along = quantized({columns, rows}, turned, Tile::kRow, {columns, 3});
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      ASSERT_EQ(down[size_t(i * columns + j)], along[size_t(j * rows + i)]) << i << " " << j;
}

INSTANTIATE_TEST_SUITE_P(Backends, Fp8Blocks, ::testing::Values("reference", "cpu"),
                         [](const auto& info) { return std::string(info.param); });

struct Outcome {
  std::vector<uint8_t> codes;
  Values y, rounded, in_place;
};

Outcome round_trip(Backend& backend, DType dtype, Shape shape, const Values& values, const std::vector<int32_t>& starts,
                   const Fp8Args& args, int64_t apart) {
  Shape wide = shape;
  wide.set(shape.rank() - 1, shape[-1] + apart);
  const Tensor x = Tensor::make(backend, dtype, wide).slice(shape.rank() - 1, 0, shape[-1]);
  set_values(x, values);
  const Tensor offsets = starts.empty() ? Tensor() : ints(backend, starts);
  const int64_t r = shape[-2], c = shape[-1], across = (c + 127) / 128, groups = int64_t(starts.size()) - 1;
  Shape scale_shape = args.tile == Tile::kRow      ? Shape{r, across}
                      : args.tile == Tile::kColumn ? Shape{fp8_tile_rows(r, std::max<int64_t>(1, groups)), c}
                      : shape.rank() == 3          ? Shape{shape[0], (r + 127) / 128, across}
                                                   : Shape{(r + 127) / 128, across};
  const Tensor q = Tensor::make(backend, DType::kF8E4M3, shape), y = Tensor::make(backend, dtype, shape);
  const Tensor scales = full(backend, DType::kF32, scale_shape, 1);
  backend.fp8_quantize(q, scales, x, offsets, args);
  backend.fp8_dequantize(y, q, scales, offsets, args);
  const Tensor rounded = Tensor::make(backend, dtype, shape);
  backend.fp8_round(rounded, x, offsets, args);
  backend.fp8_round(x, x, offsets, args);
  return {codes_of(q), values_of(y), values_of(rounded), values_of(x)};
}

TEST(Fp8Parity, TheBackendsAgreeToTheBit) {
  struct Case {
    Shape shape;
    Tile tile;
    std::vector<int32_t> starts;
  };
  const std::vector<Case> cases = {
      {{1, 1}, Tile::kRow, {}},         {{5, 300}, Tile::kRow, {}},
      {{130, 128}, Tile::kBlock, {}},   {{3, 140, 129}, Tile::kBlock, {}},
      {{129, 200}, Tile::kColumn, {}},  {{600, 40}, Tile::kColumn, {0, 0, 127, 128, 400, 400, 600}},
      {{0, 40}, Tile::kColumn, {0, 0}},
  };
  Rng rng(8);
  for (const Case& c : cases)
    for (DType dtype : {DType::kF32, DType::kBF16})
      for (Fp8Scale scale : {Fp8Scale::kF32, Fp8Scale::kUe8m0})
        for (double size : {1.0, 1e-9}) {
          Values values = random_values(rng, c.shape.count(), size);
          for (size_t i = 0; i < values.size(); i += 3) values[i] *= 1e-4;  // into the subnormals
          if (values.size() > 20) values[20] = kNaN;
          const Fp8Args args = {.tile = c.tile, .scale = scale};
          const Outcome want = round_trip(get_backend("reference"), dtype, c.shape, values, c.starts, args, 0);
          for (int threads : {1, 2, 4}) {
            const int before = thread_count();
            set_thread_count(threads);
            const Outcome got = round_trip(get_backend("cpu"), dtype, c.shape, values, c.starts, args, 3);
            set_thread_count(before);
            EXPECT_EQ(got.codes, want.codes) << c.shape.text();
            expect_same_bits(got.y, want.y, c.shape.text());
            expect_same_bits(got.rounded, want.y, c.shape.text() + " rounded");
            expect_same_bits(got.in_place, want.y, c.shape.text() + " in place");
          }
        }
}

// Every sign, exponent and leading fraction, with the bits behind it that decide a tie.
TEST(Fp8Parity, KernelsRoundAsTheNumberTypeDoes) {
  const cpu::Fp8Kernels& kernels = *cpu::kernels().fp8;
  const std::vector<float> ones(1 << 12, 1);
  for (const uint32_t behind : {0u, 1u, 0x8000u, 0x7fffu})
    for (uint32_t block = 0; block < 16; block++) {
      std::vector<float> x(ones.size()), y(ones.size()), back(ones.size());
      std::vector<uint8_t> codes(ones.size());
      for (uint32_t i = 0; i < x.size(); i++) x[i] = std::bit_cast<float>((block << 12 | i) << 16 | behind);
      const auto n = int64_t(x.size()) - block;  // tails of each length
      kernels.round[0][0](y.data(), x.data(), ones.data(), n);
      kernels.f32.quantize(codes.data(), x.data(), ones.data(), n);
      kernels.f32.dequantize(back.data(), codes.data(), ones.data(), n);
      for (size_t i = 0; i < size_t(n); i++) {
        const fp8_e4m3 want(x[i]);
        ASSERT_EQ(codes[i], want.bits) << x[i];
        expect_equal(y[i], want, fmt::format("rounded {}", x[i]));
        expect_equal(back[i], want, fmt::format("back from the code of {}", x[i]));
      }
    }
}

// A number and its FP8 form differ by at most 2^-4 of it, or half a subnormal step of its tile.
TEST(Fp8Parity, TheErrorIsThatOfThreeBits) {
  Rng rng(9);
  const Values values = random_values(rng, 64 * 256);
  for (Fp8Scale scale : {Fp8Scale::kF32, Fp8Scale::kUe8m0}) {
    const Outcome got = round_trip(get_backend("cpu"), DType::kF32, {64, 256}, values, {}, {.scale = scale}, 0);
    expect_close(got.y, values, 0x1p-4, 5.0 / 224 * 0x1p-10, "rounded");
  }
}

}  // namespace
}  // namespace tenth::testing
