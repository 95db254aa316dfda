// The GGUF reader on bytes made by hand, and what it refuses; reader and writer against each other.
#include "checkpoint/gguf.h"

#include <gmock/gmock.h>

#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_files.h"
#include "checkpoint/gguf_write.h"
#include "safetensors_files.h"
#include "shared.h"

namespace tenth {
namespace {

using testing::GgufBytes;
using ::testing::HasSubstr;

GgufContent parse(const std::string& bytes) { return parse_gguf(std::as_bytes(std::span(bytes)), "file"); }

void refused(const GgufBytes& file, const char* what, ErrorKind kind = ErrorKind::kInput) {
  const std::string bytes = file.bytes();
  const std::string text = error_of(kind, [&] { parse(bytes); });
  EXPECT_THAT(text, HasSubstr(what));
  EXPECT_THAT(text, HasSubstr("file: "));
}

TEST(Gguf, ReadsEveryTypeOfValue) {
  const std::string bytes = GgufBytes(0, 12)
                                .entry("a.u8", 0, uint8_t(200))
                                .entry("a.i8", 1, int8_t(-3))
                                .entry("a.u16", 2, uint16_t(60000))
                                .entry("a.i16", 3, int16_t(-300))
                                .entry("a.u32", 4, uint32_t(4'000'000'000))
                                .entry("a.i32", 5, int32_t(-70000))
                                .entry("a.f32", 6, 1.5f)
                                .entry("a.bool", 7, uint8_t(1))
                                .entry("a.text", std::string_view("words"))
                                .entry("a.u64", 10, uint64_t(1) << 40)
                                .entry("a.i64", 11, -(int64_t(1) << 40))
                                .entry("a.f64", 12, 0.1)
                                .bytes();
  const GgufContent content = parse(bytes);
  const GgufMetadata& in = content.metadata;
  EXPECT_EQ(in.values().size(), 12u);
  EXPECT_EQ(in.integer("a.u8"), 200);
  EXPECT_EQ(in.integer("a.i8"), -3);
  EXPECT_EQ(in.integer("a.u16"), 60000);
  EXPECT_EQ(in.integer("a.i16"), -300);
  EXPECT_EQ(in.integer("a.u32"), 4'000'000'000);
  EXPECT_EQ(in.integer("a.i32"), -70000);
  EXPECT_EQ(in.real("a.f32"), 1.5);
  EXPECT_TRUE(in.flag("a.bool", false));
  EXPECT_EQ(in.text("a.text"), "words");
  EXPECT_EQ(in.integer("a.u64"), int64_t(1) << 40);
  EXPECT_EQ(in.integer("a.i64"), -(int64_t(1) << 40));
  EXPECT_EQ(in.real("a.f64"), 0.1);
  EXPECT_EQ(in.integer("a.none", 7), 7);
  for (const auto& body : {std::function<void()>([&] { in.integer("a.none"); }),
                           {[&] { in.integer("a.f32"); }},
                           {[&] { in.text("a.u8"); }},
                           {[&] { in.flag("a.u8", false); }},
                           {[&] { in.texts("a.text"); }},
                           {[&] { in.integers("a.u8"); }},
                           {[&] { in.real("a.text"); }}})
    EXPECT_THAT(error_of(ErrorKind::kInput, body), HasSubstr("file: metadata a."));
}

TEST(Gguf, ReadsArraysAlsoOfArrays) {
  GgufBytes file(0, 3);
  file.text("a.ids").number(uint32_t(9)).number(uint32_t(5)).number(uint64_t(3));
  file.number(int32_t(1)).number(int32_t(-2)).number(int32_t(3));
  file.text("a.words").number(uint32_t(9)).number(uint32_t(8)).number(uint64_t(2)).text("one").text("");
  file.text("a.deep").number(uint32_t(9)).number(uint32_t(9)).number(uint64_t(1));
  file.number(uint32_t(0)).number(uint64_t(2)).number(uint8_t(7)).number(uint8_t(8));
  const GgufContent content = parse(file.bytes());
  EXPECT_EQ(content.metadata.integers("a.ids"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(content.metadata.texts("a.words"), (std::vector<std::string_view>{"one", ""}));
  EXPECT_EQ(content.metadata.find("a.deep")->count, 1u);
  EXPECT_TRUE(content.metadata.integers("a.none").empty());
}

GgufBytes two_tensors(uint64_t second_offset = 32, uint32_t type = 8) {
  return GgufBytes(2, 0).tensor("a", {2, 3}, 0, 0).tensor("b", {32, 2}, type, second_offset).pad();
}

TEST(Gguf, FindsTensors) {
  const std::string bytes = two_tensors().data(32 + 68).bytes();
  const GgufContent content = parse(bytes);
  ASSERT_EQ(content.tensors.size(), 2u);
  EXPECT_EQ(content.tensors[0].shape, (std::vector<int64_t>{3, 2}));  // the file has the fastest first
  EXPECT_EQ(content.tensors[0].bytes.size(), 24u);
  EXPECT_EQ(content.tensors[1].type->name, "Q8_0");
  EXPECT_EQ(content.tensors[1].bytes.size(), 68u);
  EXPECT_EQ(size_t(content.tensors[1].bytes.data() - reinterpret_cast<const std::byte*>(bytes.data())) % 32, 0u);
}

TEST(Gguf, RefusesWhatIsNotOne) {
  for (const std::string& bytes : {std::string(), std::string("GGU"), std::string("GGML\3\0\0\0", 8)})
    error_of(ErrorKind::kInput, [&] { parse(bytes); });
  refused(GgufBytes(0, 0, 1), "version: expected 2 or 3, got 1", ErrorKind::kUnsupported);
  refused(GgufBytes(0, 0, 0x03000000), "big-endian", ErrorKind::kUnsupported);
  refused(GgufBytes(0, uint64_t(1) << 60), "metadata count");
  refused(GgufBytes(uint64_t(1) << 60, 0), "tensor count");
}

TEST(Gguf, RefusesBrokenMetadata) {
  refused(GgufBytes(0, 1).text("a").number(uint32_t(13)).number(uint64_t(0)), "type of 0 … 12, got 13");
  refused(GgufBytes(0, 1).entry("a", 7, uint8_t(2)).number(uint64_t(0)), "bool of 0 or 1, got 2");
  GgufBytes bools(0, 1);
  bools.text("a").number(uint32_t(9)).number(uint32_t(7)).number(uint64_t(3));
  refused(bools.number(uint8_t(1)).number(uint8_t(0)).number(uint8_t(255)),
          "metadata a: expected a bool of 0 or 1, got 255");
  refused(GgufBytes(0, 2).entry("a", 4, 1).entry("a", 4, 1), "metadata a: stands there twice");
  refused(GgufBytes(0, 1).entry("", 4, 1).number(uint64_t(0)), "metadata key");
  refused(GgufBytes(0, 1).entry("a\n", 4, 1), "metadata key");
  refused(GgufBytes(0, 1).number(uint64_t(1) << 40).data(100), "at most 65535 bytes");
  refused(GgufBytes(0, 1).text("a").number(uint32_t(8)).number(UINT64_MAX).data(10), "metadata a");
  // Arrays: more elements than bytes are left, a product that overflows, nesting.
  for (const uint64_t count : {uint64_t(100), uint64_t(1) << 31, UINT64_MAX, (UINT64_MAX >> 3) + 2}) {
    for (const uint32_t type : {0, 8, 9, 12})
      refused(GgufBytes(0, 1).text("a").number(uint32_t(9)).number(type).number(count).data(20), "metadata a");
  }
  GgufBytes deep(0, 1);
  deep.text("a").number(uint32_t(9));
  for (int i = 0; i < 10000; i++) deep.number(uint32_t(9)).number(uint64_t(1));
  refused(deep, "deep");
  refused(GgufBytes(0, 1).entry("general.alignment", 4, uint32_t(12)), "general.alignment: expected a power of two");
  refused(GgufBytes(0, 1).entry("general.alignment", 4, uint32_t(0)), "general.alignment");
  refused(GgufBytes(0, 1).entry("general.alignment", 4, uint32_t(1) << 30), "general.alignment");
  refused(GgufBytes(0, 1).entry("general.alignment", std::string_view("32")), "general.alignment");
}

TEST(Gguf, RefusesBrokenTensors) {
  refused(two_tensors(64).data(200), "tensor b: offset: expected 32");
  refused(two_tensors(0).data(200), "tensor b: offset: expected 32");
  refused(two_tensors().data(32 + 67), "cut short");
  refused(two_tensors(32, 4).data(200), "known type, got code 4", ErrorKind::kUnsupported);
  refused(two_tensors(32, 12).data(200), "whole blocks of 256, got 32");
  refused(GgufBytes(1, 0).tensor("a", {1, 1, 1, 1, 1}, 0, 0).pad().data(4), "at most 4 dimensions");
  refused(GgufBytes(1, 0).tensor("a", {0, 1}, 0, 0).pad().data(4), "dimension 0: expected 1 or more");
  refused(GgufBytes(1, 0).tensor("a", {uint64_t(1) << 40, uint64_t(1) << 40}, 0, 0).pad().data(4), "2^60");
  refused(GgufBytes(1, 0).tensor("a", {UINT64_MAX}, 0, 0).pad().data(4), "2^60");
  refused(GgufBytes(1, 0).tensor(std::string(65, 'x'), {1}, 0, 0).pad().data(4), "at most 64 bytes");
  refused(GgufBytes(2, 0).tensor("a", {1}, 0, 0).tensor("a", {1}, 0, 32).pad().data(64), "stands in the file twice");
}

TEST(Gguf, RefusesEveryCut) {
  const std::string whole = GgufBytes(2, 2)
                                .entry("a", std::string_view("text"))
                                .entry("b", 6, 1.0f)
                                .tensor("a", {2, 3}, 0, 0)
                                .tensor("b", {32, 2}, 8, 32)
                                .pad()
                                .data(32 + 68)
                                .bytes();
  parse(whole);
  for (size_t kept = 0; kept < whole.size(); kept++) error_of(ErrorKind::kInput, [&] { parse(whole.substr(0, kept)); });
}

GgufTensorToWrite floats(const std::string& name, std::vector<int64_t> shape, float value) {
  size_t count = 1;
  for (const int64_t dim : shape) count *= size_t(dim);
  return {name, find_gguf_type("F32"), shape, [=](const ByteSink& sink) {
            const std::vector<float> values(count, value);
            sink(std::as_bytes(std::span(values)));
          }};
}

TEST(Gguf, WritesWhatItReads) {
  TemporaryFolder folder;
  const std::vector<GgufEntry> entries = {{"a.number", uint32_t(7)},
                                          {"a.less", int32_t(-7)},
                                          {"a.real", 0.5f},
                                          {"a.flag", true},
                                          {"a.text", std::string("hm")},
                                          {"a.words", std::vector<std::string>{"x", "yz"}},
                                          {"a.ids", std::vector<int32_t>{4, 5}}};
  write_gguf(folder / "a.gguf", entries, {floats("one", {3}, 1), floats("two", {2, 5}, 2)});
  const GgufFile file = GgufFile::open(folder / "a.gguf");
  EXPECT_EQ(file.metadata().integer("a.number"), 7);
  EXPECT_EQ(file.metadata().integer("a.less"), -7);
  EXPECT_EQ(file.metadata().real("a.real"), 0.5);
  EXPECT_TRUE(file.metadata().flag("a.flag", false));
  EXPECT_EQ(file.metadata().texts("a.words"), (std::vector<std::string_view>{"x", "yz"}));
  EXPECT_EQ(file.metadata().integers("a.ids"), (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(file.find("two")->shape, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(file.find("none"), nullptr);
  // Values of another file, as they are.
  std::vector<GgufEntry> copied;
  for (const auto& [key, value] : file.metadata().values()) copied.push_back({std::string(key), value});
  write_gguf(folder / "b.gguf", copied, {});
  const GgufFile again = GgufFile::open(folder / "b.gguf");
  ASSERT_EQ(again.metadata().values().size(), entries.size());
  for (const auto& [key, value] : file.metadata().values())
    EXPECT_TRUE(std::ranges::equal(again.metadata().find(key)->bytes, value.bytes)) << key;
}

TEST(Gguf, OpensTheFirstOfSeveralParts) {
  TemporaryFolder folder;
  const auto part = [&](int number, int count, int total) {
    write_gguf(folder / fmt::format("m-{:05}-of-{:05}.gguf", number + 1, 2),
               {{"split.no", uint32_t(number)}, {"split.count", uint32_t(count)}, {"split.tensors.count", total}},
               {floats(number ? "two" : "one", {4}, 1)});
  };
  part(0, 2, 2);
  part(1, 2, 2);
  EXPECT_EQ(GgufFile::open(folder / "m-00001-of-00002.gguf").tensors().size(), 2u);
  const auto broken = [&](const char* name, const char* what) {
    EXPECT_THAT(error_of(ErrorKind::kInput, [&] { GgufFile::open(folder / name); }), HasSubstr(what));
  };
  broken("m-00002-of-00002.gguf", "open the first part");
  part(0, 2, 3);
  broken("m-00001-of-00002.gguf", "split.tensors.count");
  part(0, 99999, 2);
  broken("m-00001-of-00002.gguf", "ends in -00001-of-99999.gguf");
  part(0, 2, 2);
  part(0, 2, 2);
  std::filesystem::copy_file(folder / "m-00001-of-00002.gguf", folder / "m-00002-of-00002.gguf",
                             std::filesystem::copy_options::overwrite_existing);
  broken("m-00001-of-00002.gguf", "split.no: expected 1, got 0");
  std::filesystem::remove(folder / "m-00002-of-00002.gguf");
  error_of(ErrorKind::kIo, [&] { GgufFile::open(folder / "m-00001-of-00002.gguf"); });
}

// Llama 3.1's own numbers, and those of 3.2, out of the factors that llama.cpp's converter makes of them.
TEST(Gguf, FindsLlama3ScalingInItsFactors) {
  for (const double factor : {8.0, 32.0}) {
    ModelConfig c;
    c.head_dim = 128;
    c.rope_theta = 500000;
    c.rope_scaling = {.type = RopeScaling::Type::kLlama3, .factor = factor, .original_max_position_embeddings = 8192};
    const RopeScaling found = llama3_scaling(rope_factors(c), c.rope_theta, "file");
    EXPECT_EQ(found.factor, factor);
    EXPECT_EQ(found.original_max_position_embeddings, 8192);
    EXPECT_EQ(found.low_freq_factor, 1);
    EXPECT_EQ(found.high_freq_factor, 4);
  }
  error_of(ErrorKind::kUnsupported, [] { llama3_scaling(std::vector<float>{8, 1, 4, 2}, 10000, "file"); });
  error_of(ErrorKind::kInput, [] { llama3_scaling(std::vector<float>{0, 1}, 10000, "file"); });
}

}  // namespace
}  // namespace tenth
