// Loading and writing safetensors files, against the golden fixtures and against hand-made bytes.
#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>

#include "checkpoint/file_types.h"
#include "safetensors_files.h"
#include "shared.h"
#include "tensor/half.h"

namespace tenth {
namespace {

using testing::HasSubstr;

HostDevice& host() {
  static HostDevice device;
  return device;
}

std::vector<Path> golden_files() {
  std::vector<Path> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator(shared_folder() / "golden")) {
    if (file.path().extension() == ".safetensors") files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// A file of one tensor "x" of one dimension.
template <class T>
Path write_one(const TemporaryFolder& folder, const std::string& dtype, const std::vector<T>& values) {
  const Path path = folder / (dtype + ".safetensors");
  const std::string data = bytes_of(values);
  write_file(path, safetensors_bytes(fmt::format(R"({{"x":{{"dtype":"{}","shape":[{}],"data_offsets":[0,{}]}}}})",
                                                 dtype, values.size(), data.size()),
                                     data));
  return path;
}

template <class To, class From>
std::vector<To> loaded(const std::string& dtype, const std::vector<From>& values) {
  TemporaryFolder folder;
  return SafetensorsFile(write_one(folder, dtype, values)).load("x", host(), dtype_of<To>).template to_host<To>();
}

TEST(Safetensors, GoldenFilesWrittenAgainAreTheSameBytes) {
  TENTH_NEEDS_SHARED();
  TemporaryFolder folder;
  const std::vector<Path> files = golden_files();
  ASSERT_GT(files.size(), 40u);
  for (const Path& path : files) {
    const SafetensorsFile file(path);
    std::vector<TensorToWrite> tensors;
    for (const StoredTensor& stored : file.tensors()) {
      TensorToWrite what{.name = stored.name};
      bool loadable = false;
      for (DType dtype : {DType::kF64, DType::kF32, DType::kBF16, DType::kI64, DType::kI32, DType::kU8}) {
        if (file_type_of(dtype) != stored.dtype) continue;
        what.tensor = stored.load(host(), dtype);
        loadable = true;
      }
      if (!loadable) what.dtype = stored.dtype, what.shape = stored.shape, what.bytes = stored.bytes;
      tensors.push_back(std::move(what));
    }
    std::reverse(tensors.begin(), tensors.end());  // the order given does not matter
    write_safetensors(folder / "again.safetensors", tensors, file.metadata());
    EXPECT_TRUE(read_file(folder / "again.safetensors") == read_file(path)) << path;
  }
}

TEST(Safetensors, BytesOfTheFormatsOwnTests) {
  TemporaryFolder folder;
  const Path path = folder / "x.safetensors";
  write_safetensors(path, {});
  EXPECT_EQ(read_file(path), safetensors_bytes("{}      "));
  write_safetensors(path, {}, {{"framework", "pt"}});
  EXPECT_EQ(read_file(path), safetensors_bytes(R"({"__metadata__":{"framework":"pt"}}     )"));
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const Tensor tensor = Tensor::from_host<float>(host(), values, {1, 1, 2, 3});
  write_safetensors(path, std::vector<TensorToWrite>{{.name = "attn0", .tensor = tensor}});
  EXPECT_EQ(read_file(path),
            safetensors_bytes(R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )",
                              bytes_of(values)));
}

TEST(Safetensors, TypesAreSortedAndNamesEscapedAsByHuggingFace) {
  // What safetensors 0.8.0 (Python) writes for 16 bytes of each type, given in another order.
  struct Written {
    std::string name, dtype;
    int count;
  };
  const std::vector<Written> expected = {{R"(a\n)"
                                          "\x7f"
                                          R"(\u0001é\")",
                                          "U64", 2},
                                         {"int64", "I64", 2},
                                         {"float64", "F64", 2},
                                         {"complex64", "C64", 2},
                                         {"float32", "F32", 4},
                                         {"uint32", "U32", 4},
                                         {"int32", "I32", 4},
                                         {"bfloat16", "BF16", 8},
                                         {"float16", "F16", 8},
                                         {"uint16", "U16", 8},
                                         {"int16", "I16", 8},
                                         {"e5m2fnuz", "F8_E5M2FNUZ", 16},
                                         {"e4m3fnuz", "F8_E4M3FNUZ", 16},
                                         {"e8m0fnu", "F8_E8M0", 16},
                                         {"e4m3fn", "F8_E4M3", 16},
                                         {"e5m2", "F8_E5M2", 16},
                                         {"int8", "I8", 16},
                                         {"another", "U8", 16},
                                         {"uint8", "U8", 16},
                                         {"e2m1fn", "F4", 32},
                                         {"bool", "BOOL", 16}};
  std::string header = "{";
  for (size_t i = 0; i < expected.size(); i++) {
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", i ? "," : "",
                          expected[i].name, expected[i].dtype, expected[i].count, 16 * i, 16 * (i + 1));
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string bytes = safetensors_bytes(header, std::string(16 * expected.size(), 'x'));
  const SafetensorsContent content = parse_safetensors(std::as_bytes(std::span(bytes)), "f");
  std::vector<TensorToWrite> tensors;
  for (const StoredTensor& t : content.tensors) {
    tensors.insert(tensors.begin(), {.name = t.name, .dtype = t.dtype, .shape = t.shape, .bytes = t.bytes});
  }
  TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", tensors);
  EXPECT_EQ(read_file(folder / "x.safetensors"), bytes);
}

TEST(Safetensors, ConvertsToTheTypeAskedFor) {
  const std::vector<float> floats = {0, -1.5f, 3.1415927f, 1e30f};
  EXPECT_EQ(loaded<float>("F32", floats), floats);
  EXPECT_EQ(loaded<double>("F32", floats), std::vector<double>(floats.begin(), floats.end()));
  EXPECT_EQ(float(loaded<bf16>("F32", floats)[2]), 3.140625f);
  EXPECT_EQ(loaded<float>("F64", std::vector<double>{0.1, -2}), (std::vector<float>{0.1f, -2}));
  EXPECT_EQ(loaded<float>("BF16", std::vector<uint16_t>{0x3fc0, 0xc000}), (std::vector<float>{1.5f, -2}));
  EXPECT_EQ(loaded<double>("F16", std::vector<uint16_t>{0x3e00, 0xc000}), (std::vector<double>{1.5, -2}));
  EXPECT_EQ(loaded<int32_t>("I64", std::vector<int64_t>{-5, 129279}), (std::vector<int32_t>{-5, 129279}));
  EXPECT_EQ(loaded<int64_t>("I32", std::vector<int32_t>{-5}), (std::vector<int64_t>{-5}));
  EXPECT_EQ(loaded<int64_t>("U32", std::vector<uint32_t>{4294967295}), (std::vector<int64_t>{4294967295}));
  EXPECT_EQ(loaded<int32_t>("I16", std::vector<int16_t>{-300}), (std::vector<int32_t>{-300}));
  EXPECT_EQ(loaded<int32_t>("U16", std::vector<uint16_t>{65535}), (std::vector<int32_t>{65535}));
  EXPECT_EQ(loaded<float>("I8", std::vector<int8_t>{-7}), (std::vector<float>{-7}));
  EXPECT_EQ(loaded<uint8_t>("BOOL", std::vector<uint8_t>{0, 1, 2}), (std::vector<uint8_t>{0, 1, 1}));
  EXPECT_EQ(float(loaded<bf16>("U8", std::vector<uint8_t>{255})[0]), 255.f);
  // Across the pieces in which a long tensor is converted, from data that is not aligned.
  std::vector<int64_t> many(200001);
  for (size_t i = 0; i < many.size(); i++) many[i] = int64_t(i * 7);
  EXPECT_EQ(loaded<double>("I64", many), std::vector<double>(many.begin(), many.end()));
}

TEST(Safetensors, WhatCannotBeConvertedIsRefused) {
  auto load = [](const std::string& dtype, const auto& values, DType to, ErrorKind kind) {
    TemporaryFolder folder;
    const SafetensorsFile file(write_one(folder, dtype, values));
    return error_of(kind, [&] { file.load("x", host(), to); });
  };
  std::vector<int64_t> ids(70000);
  ids[69999] = int64_t(1) << 31;
  EXPECT_THAT(load("I64", ids, DType::kI32, ErrorKind::kInput),
              HasSubstr("tensor x: expected values that fit i32, got a larger or negative one at 69999"));
  EXPECT_THAT(load("U64", std::vector<uint64_t>{~0ull}, DType::kI64, ErrorKind::kInput), HasSubstr("at 0"));
  EXPECT_THAT(load("I8", std::vector<int8_t>{1, -1}, DType::kU8, ErrorKind::kInput), HasSubstr("at 1"));
  EXPECT_THAT(load("F32", std::vector<float>{1}, DType::kI32, ErrorKind::kInput),
              HasSubstr("expected a type that converts to i32, got F32"));
  EXPECT_THAT(load("F8_E4M3", std::vector<uint8_t>{1}, DType::kF32, ErrorKind::kUnsupported),
              HasSubstr("converts to f32, got F8_E4M3"));
}

TEST(Safetensors, HalvesAreExact) {
  // Every half is a float whose value follows from the definition.
  for (int bits = 0; bits < 65536; bits++) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const float value = half_to_float(uint16_t(bits));
    EXPECT_EQ(std::signbit(value), bits >= 32768) << bits;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(value), fraction != 0) << bits;
      EXPECT_EQ(std::isinf(value), fraction == 0) << bits;
    } else {
      const double size =
          exponent ? std::ldexp(1 + fraction / 1024., exponent - 15) : std::ldexp(fraction / 1024., -14);
      EXPECT_EQ(std::fabs(value), size) << bits;
    }
  }
}

TEST(Safetensors, HalvesAndBf16AgreeWithTorch) {
  TENTH_NEEDS_SHARED();
  const SafetensorsFile file(shared_folder() / "golden/formats/conversions.safetensors");
  const auto input = file.load("input_f32", host(), DType::kF32).to_host<float>();
  const auto half = file.load("f16_bits", host(), DType::kI32).to_host<int32_t>();
  const auto brain = file.load("bf16_bits", host(), DType::kI32).to_host<int32_t>();
  ASSERT_EQ(input.size(), half.size());
  const auto rounded = loaded<bf16>("F32", input);
  for (size_t i = 0; i < input.size(); i++) {
    const float value = half_to_float(uint16_t(half[i]));
    if (std::isnan(input[i])) {
      EXPECT_TRUE(std::isnan(value) && std::isnan(float(rounded[i])));
      continue;
    }
    EXPECT_EQ(rounded[i].bits, uint16_t(brain[i])) << input[i];
    if (std::isinf(value)) {
      EXPECT_GE(std::fabs(input[i]), 65520) << input[i];
    } else {
      EXPECT_LE(std::fabs(value - input[i]), std::max(std::fabs(input[i]) * 0x1p-11f, 0x1p-25f)) << input[i];
    }
  }
}

TEST(Safetensors, LoadsIntoAViewOfTheSameShape) {
  TemporaryFolder folder;
  const Tensor source = Tensor::from_host<float>(host(), std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  write_safetensors(folder / "x.safetensors", std::vector<TensorToWrite>{{.name = "x", .tensor = source}});
  const SafetensorsFile file(folder / "x.safetensors");
  for (DType dtype : {DType::kF32, DType::kF64}) {
    const Tensor big = Tensor::make(host(), dtype, {3, 5});
    std::memset(big.raw(), 0, big.bytes());
    file.load_into("x", big.slice(0, 1, 3).slice(1, 2, 5));
    std::vector<double> values;
    for (int i = 0; i < 15; i++) values.push_back(dtype == DType::kF32 ? big.data<float>()[i] : big.data<double>()[i]);
    EXPECT_EQ(values, (std::vector<double>{0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 4, 5, 6}));
  }
  const std::string where = (folder / "x.safetensors").string();
  auto into = [&](Shape shape) {
    return error_of(ErrorKind::kInput, [&] { file.load_into("x", Tensor::make(host(), DType::kF32, shape)); });
  };
  EXPECT_EQ(into({3, 2}), where + ": tensor x: expected shape (3, 2), got (2, 3)");
  EXPECT_EQ(into({6}), where + ": tensor x: expected shape (6), got (2, 3)");
  EXPECT_EQ(error_of(ErrorKind::kInput, [&] { file.load("y\n", host(), DType::kF32); }),
            where + ": expected a tensor y\\n, found none of that name");
  EXPECT_EQ(file.find("y"), nullptr);
}

TEST(Safetensors, ViewsAndOtherTypesAreWritten) {
  TemporaryFolder folder;
  std::vector<float> values(2 * 300 * 400);
  for (size_t i = 0; i < values.size(); i++) values[i] = float(i) * 0.37f;
  const Tensor whole = Tensor::from_host<float>(host(), values, {2, 300, 400});
  const Tensor part = whole.slice(1, 3, 290).slice(2, 1, 200);  // (2, 287, 199)
  const Tensor ids = Tensor::from_host<int32_t>(host(), std::vector<int32_t>{7, -1});
  const Tensor empty = Tensor::make(host(), DType::kF32, {0, 4});
  const Tensor scalar = Tensor::from_host<float>(host(), std::vector<float>{2.5f}, {});
  write_safetensors(folder / "x.safetensors",
                    std::vector<TensorToWrite>{{.name = "part", .tensor = part},
                                               {.name = "small", .tensor = part, .dtype = "BF16"},
                                               {.name = "ids", .tensor = ids, .dtype = "I64"},
                                               {.name = "empty", .tensor = empty},
                                               {.name = "scalar", .tensor = scalar}});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.at("part").shape, (std::vector<int64_t>{2, 287, 199}));
  EXPECT_EQ(file.at("small").dtype, "BF16");
  const auto read = file.load("part", host(), DType::kF32).to_host<float>();
  const auto small = file.load("small", host(), DType::kBF16).to_host<bf16>();
  for (int64_t b = 0, n = 0; b < 2; b++) {
    for (int64_t i = 0; i < 287; i++) {
      for (int64_t j = 0; j < 199; j++, n++) {
        const float value = values[size_t((b * 300 + i + 3) * 400 + j + 1)];
        ASSERT_EQ(read[size_t(n)], value);
        ASSERT_EQ(small[size_t(n)].bits, bf16(value).bits);
      }
    }
  }
  EXPECT_EQ(file.load("ids", host(), DType::kI64).to_host<int64_t>(), (std::vector<int64_t>{7, -1}));
  EXPECT_EQ(file.load("empty", host(), DType::kF32).count(), 0);
  EXPECT_EQ(file.load("scalar", host(), DType::kF32).rank(), 0);
  EXPECT_EQ(file.load("scalar", host(), DType::kF32).to_host<float>()[0], 2.5f);
}

TEST(Safetensors, HighRanksAreListedButNotLoaded) {
  TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors",
                    std::vector<TensorToWrite>{{.name = "deep", .dtype = "U8", .shape = {1, 1, 0, 1, 1}}});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.at("deep").shape.size(), 5u);
  EXPECT_THAT(error_of(ErrorKind::kUnsupported, [&] { file.load("deep", host(), DType::kU8); }),
              HasSubstr("tensor deep: expected at most 4 dimensions, got shape (1, 1, 0, 1, 1)"));
}

TEST(Safetensors, ImpossibleWritesAreBugs) {
  TemporaryFolder folder;
  const Tensor x = Tensor::from_host<float>(host(), std::vector<float>{1});
  auto refused = [&](const std::vector<TensorToWrite>& tensors) {
    error_of(ErrorKind::kInternal, [&] { write_safetensors(folder / "x.safetensors", tensors); });
    EXPECT_EQ(folder.files(), 0u);
  };
  refused({{.name = "x", .tensor = x}, {.name = "x", .tensor = x, .dtype = "BF16"}});
  refused({{.name = "x", .tensor = x, .dtype = "I32"}});
  refused({{.name = "x", .tensor = x, .dtype = "F16"}});
  refused({{.name = "x", .dtype = "U8", .shape = {2}}});
  refused({{.name = "x", .dtype = "nonsense", .shape = {0}}});
  refused({{.name = "__metadata__", .tensor = x}});
  refused({{.name = "\xff", .tensor = x}});
}

// A device that fails while the data is streamed, and a disk on which the file does not fit.
TEST(Safetensors, AFailedWriteLeavesTheOldFile) {
  struct BrokenDevice : HostDevice {
    int copies_left = 3;
    void copy_to_host(void* host_data, const void* device_data, size_t bytes) override {
      require(copies_left-- > 0, ErrorKind::kIo, "the device is gone");
      HostDevice::copy_to_host(host_data, device_data, bytes);
    }
  } broken;
  TemporaryFolder folder;
  const Path path = folder / "x.safetensors";
  write_file(path, "the old file");
  const std::vector<float> values(1 << 20);
  {
    const Tensor x = Tensor::from_host<float>(broken, values);
    EXPECT_EQ(error_of(ErrorKind::kIo,
                       [&] { write_safetensors(path, std::vector<TensorToWrite>{{.name = "x", .tensor = x}}); }),
              "the device is gone");
  }
  EXPECT_EQ(read_file(path), "the old file");
  EXPECT_EQ(folder.files(), 1u);

  rlimit limit;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {.rlim_cur = 2 << 20, .rlim_max = limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Tensor x = Tensor::from_host<float>(host(), values);
  const std::string text = error_of(
      ErrorKind::kIo, [&] { write_safetensors(path, std::vector<TensorToWrite>{{.name = "x", .tensor = x}}); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(text, HasSubstr("x.safetensors: cannot write"));
  EXPECT_EQ(read_file(path), "the old file");
  EXPECT_EQ(folder.files(), 1u);
}

class SafetensorsSetTest : public testing::Test {
 protected:
  void SetUp() override {
    write_shard("model-00001-of-000002.safetensors", {"b", "a"}, 3);
    write_shard("model-00002-of-000002.safetensors", {"c"}, 5);
  }
  void write_shard(const std::string& file, const std::vector<std::string>& names, size_t length) {
    std::vector<TensorToWrite> tensors;
    const std::vector<float> values(length, static_cast<float>(length));
    for (const auto& name : names)
      tensors.push_back({.name = name, .tensor = Tensor::from_host<float>(host(), values)});
    write_safetensors(folder_ / file, tensors);
  }
  void write_index(const std::string& text) { write_file(folder_ / "model.safetensors.index.json", text); }
  std::string refusal(const std::string& index) {
    write_index(index);
    return error_of(ErrorKind::kInput, [&] { SafetensorsSet::open(folder_.path()); });
  }

  TemporaryFolder folder_;
  const std::string map_ = R"("weight_map":{"c":"model-00002-of-000002.safetensors",)"
                           R"("a":"model-00001-of-000002.safetensors","b":"model-00001-of-000002.safetensors"})";
};

TEST_F(SafetensorsSetTest, ReadsAnIndex) {
  for (std::string metadata : {R"("metadata":{"total_size":44},)", R"("metadata":{},)", ""}) {
    write_index("{" + metadata + map_ + "}");
    const SafetensorsSet set = SafetensorsSet::open(folder_.path());
    ASSERT_EQ(set.tensors().size(), 3u);
    EXPECT_EQ(set.tensors()[0]->name, "a");
    EXPECT_EQ(set.load("c", host(), DType::kF32).to_host<float>(), std::vector<float>(5, 5.f));
    const Tensor a = Tensor::make(host(), DType::kF64, {3});
    set.load_into("a", a);
    EXPECT_EQ(a.to_host<double>(), std::vector<double>(3, 3.));
    EXPECT_EQ(set.find("d"), nullptr);
    EXPECT_THAT(error_of(ErrorKind::kInput, [&] { set.at("d"); }), HasSubstr("index.json: expected a tensor d"));
  }
}

TEST_F(SafetensorsSetTest, ASingleFileGoesFirst) {
  write_index("not even JSON");
  write_shard("model.safetensors", {"z"}, 1);
  EXPECT_EQ(SafetensorsSet::open(folder_.path()).tensors().size(), 1u);
}

TEST_F(SafetensorsSetTest, RefusesABrokenIndex) {
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { SafetensorsSet::open(folder_.path()); }), HasSubstr("found neither"));
  EXPECT_THAT(refusal("{\"metadata\":{\"total_size\":45}," + map_ + "}"),
              HasSubstr("total_size: expected 44, the bytes of the tensors, got 45"));
  EXPECT_THAT(refusal("{\"metadata\":{\"total_size\":-1}," + map_ + "}"),
              HasSubstr("expected an integer of 0 or more, got -1"));
  EXPECT_THAT(refusal("{\"metadata\":7," + map_ + "}"), HasSubstr("metadata: expected an object, got number"));
  EXPECT_THAT(refusal("{}"), HasSubstr("weight_map: expected an object"));
  EXPECT_THAT(refusal("[]"), HasSubstr("weight_map: expected an object"));
  EXPECT_THAT(refusal("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(R"({"weight_map":{"a":3}})"),
              HasSubstr("tensor a: expected the name of a .safetensors file in this folder, got number"));
  for (std::string name : {"../x.safetensors", "/x.safetensors", "a/x.safetensors", "a\\\\x.safetensors", "..", "",
                           "x.bin", ".safetensors", "x\\u0000.safetensors"}) {
    EXPECT_THAT(refusal("{\"weight_map\":{\"a\":\"" + name + "\"}}"), HasSubstr("in this folder, got")) << name;
  }
  EXPECT_THAT(refusal(R"({"weight_map":{"a":"model-00003-of-000002.safetensors"}})"),
              HasSubstr("expected model-00003-of-000002.safetensors in the same folder, found none"));
  EXPECT_THAT(refusal(R"({"weight_map":{"a":"model-00002-of-000002.safetensors"}})"),
              HasSubstr("model-00002-of-000002.safetensors: expected a tensor a, found none"));
  EXPECT_THAT(
      refusal(R"({"weight_map":{"a":"model-00001-of-000002.safetensors","a":"model-00001-of-000002.safetensors"}})"),
      HasSubstr("twice"));
}

}  // namespace
}  // namespace tenth
