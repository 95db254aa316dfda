// The rules for readers: what is legal is read, what is not is refused in one line that says why.
#include <gmock/gmock.h>

#include "checkpoint/safetensors.h"
#include "safetensors_files.h"

namespace tenth {
namespace {

using testing::HasSubstr;

SafetensorsContent parse(const std::string& bytes) { return parse_safetensors(std::as_bytes(std::span(bytes)), "f"); }

std::string refusal(const std::string& bytes) {
  return error_of(ErrorKind::kInput, [&] { parse(bytes); });
}

std::string refusal(const std::string& header, const std::string& data) {
  return refusal(safetensors_bytes(header, data));
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

// One tensor "a" and eight bytes of data.
std::string refused_entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return refusal("{\"a\":" + entry(dtype, shape, offsets) + "}", "12345678");
}

TEST(SafetensorsParse, BytesOfTheFormatsOwnTests) {
  // test_empty and test_serialization of huggingface/safetensors, tensor.rs.
  EXPECT_TRUE(parse(safetensors_bytes("{}      ")).tensors.empty());
  EXPECT_TRUE(parse(safetensors_bytes("{}")).tensors.empty());
  const auto pt = parse(safetensors_bytes(R"({"__metadata__":{"framework":"pt"}}     )"));
  EXPECT_TRUE(pt.tensors.empty());
  EXPECT_EQ(pt.metadata.at("framework"), "pt");
  const std::string header = R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})";
  ASSERT_EQ(header.size(), 64u);
  const std::string bytes = safetensors_bytes(header, std::string(24, 'x'));
  const auto content = parse(bytes);
  ASSERT_EQ(content.tensors.size(), 1u);
  EXPECT_EQ(content.tensors[0].name, "attn.0");
  EXPECT_EQ(content.tensors[0].dtype, "F32");
  EXPECT_EQ(content.tensors[0].shape, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(content.tensors[0].bytes.size(), 24u);
}

TEST(SafetensorsParse, EmptyTensorsScalarsPackedTypesAndHighRanksAreLegal) {
  const std::string header = "{\"pair\":" + entry("\"F4\"", "[2,3]", "[5,8]") +
                             ",\"none\":" + entry("\"F64\"", "[0,7]", "[0,0]") +
                             ",\"deep\":" + entry("\"U8\"", "[1,1,1,1,1]", "[0,1]") +
                             ",\"scalar\":" + entry("\"F32\"", "[]", "[1,5]") + "}  \n";
  const std::string bytes = safetensors_bytes(header, "01234567");
  const auto content = parse(bytes);
  std::vector<std::string> names;
  for (const auto& tensor : content.tensors) names.push_back(tensor.name);
  EXPECT_EQ(names, (std::vector<std::string>{"none", "deep", "scalar", "pair"}));  // the order of the data
  EXPECT_EQ(char(content.tensors[3].bytes[0]), '5');
}

TEST(SafetensorsParse, LengthsAreCheckedBeforeUse) {
  EXPECT_EQ(refusal(std::string("1234567")), "f: expected a safetensors file of at least 8 bytes, got 7");
  EXPECT_THAT(refusal(std::string(8, '\xff') + "{}"), HasSubstr("at most 100000000 bytes, got 18446744073709551615"));
  EXPECT_THAT(refusal(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)),
              HasSubstr("at most 100000000 bytes, got 100000001"));
  EXPECT_THAT(refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)), HasSubstr("3 bytes, but only 2 follow"));
  EXPECT_THAT(refusal(std::string(8, '\0')), HasSubstr("an empty header"));
}

TEST(SafetensorsParse, TheHeaderIsStrictJson) {
  EXPECT_THAT(refusal(" {}", ""), HasSubstr("expected { as the first byte, got 0x20"));
  EXPECT_THAT(refusal("[]", ""), HasSubstr("got 0x5b"));
  EXPECT_THAT(refusal("{} x", ""), HasSubstr("not valid JSON at its byte 4"));
  EXPECT_THAT(refusal(std::string("{}\0\0", 4), ""), HasSubstr("NUL"));
  EXPECT_THAT(refusal("{\"a\xff\":1}", ""), HasSubstr("UTF-8"));
  EXPECT_THAT(refusal("{\"a\":1,}", ""), HasSubstr("a: expected an object, got 1"));
  EXPECT_THAT(refusal("{\"a\":{},}", ""), HasSubstr("got no dtype"));
  EXPECT_THAT(refusal("{'a':1}", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("{\"a\":[1]}", ""), HasSubstr("a: expected an object, got an array"));
  EXPECT_THAT(refusal("{\"__metadata__\":null}", ""), HasSubstr("__metadata__: expected an object, got null"));
  EXPECT_THAT(refusal("{\"__metadata__\":{\"k\":1}}", ""), HasSubstr("k: expected a string, got 1"));
  EXPECT_LT(refusal("{\"a\":1e" + std::string(100000, '9') + "}", "").size(), 200u);  // no quotation of the file
  EXPECT_LT(refusal("{\"" + std::string(100000, 'n') + "\":1}", "").size(), 300u);
  const std::string deep(100000, '[');
  EXPECT_THAT(refusal("{\"a\":{\"shape\":" + deep, ""), HasSubstr("got an array"));
}

TEST(SafetensorsParse, NothingStandsTwice) {
  const std::string a = "\"a\":" + entry("\"U8\"", "[0]", "[0,0]");
  EXPECT_EQ(refusal("{" + a + "," + a + "}", ""), "f: tensor a: stands in the header twice");
  EXPECT_THAT(refusal(R"({"__metadata__":{"k":"1","k":"2"}})", ""), HasSubstr("key k stands there twice"));
  EXPECT_THAT(refusal(R"({"__metadata__":{},"__metadata__":{}})", ""), HasSubstr("twice"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","dtype":"U8"}})", ""), HasSubstr("got again dtype"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"U8","offsets":[0,0]}})", ""), HasSubstr("got a field offsets"));
}

TEST(SafetensorsParse, TypesShapesAndOffsetsAreWhatTheyMustBe) {
  EXPECT_THAT(refused_entry("\"F31\"", "[2]", "[0,8]"), HasSubstr("tensor a: dtype: expected the name of a type"));
  EXPECT_THAT(refused_entry("7", "[2]", "[0,8]"), HasSubstr("such as \"F32\", got 7"));
  EXPECT_THAT(refused_entry("\"F32\"", "[-2]", "[0,8]"),
              HasSubstr("shape: expected an array of integers from 0 to 2^63 - 1, got -2"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2.0]", "[0,8]"), HasSubstr("got a number that is no integer"));
  EXPECT_THAT(refused_entry("\"F32\"", "[\"2\"]", "[0,8]"), HasSubstr("got a string"));
  EXPECT_THAT(refused_entry("\"F32\"", "[true]", "[0,8]"), HasSubstr("got a boolean"));
  EXPECT_THAT(refused_entry("\"F32\"", "[9223372036854775808]", "[0,8]"), HasSubstr("got 9223372036854775808"));
  EXPECT_THAT(refused_entry("\"F32\"", "[[2]]", "[0,8]"), HasSubstr("got an array"));
  EXPECT_THAT(refused_entry("\"F32\"", "2", "[0,8]"), HasSubstr("got 2"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2]", "[0]"),
              HasSubstr("data_offsets: expected two integers from 0 to 2^64 - 1, got 1"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2]", "[0,8,9]"), HasSubstr("got a third number"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2]", "[-1,7]"), HasSubstr("got -1"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2]", "{}"), HasSubstr("got an object"));
  std::string ones = "[1";
  for (int i = 0; i < 64; i++) ones += ",1";
  EXPECT_THAT(refused_entry("\"F64\"", ones + "]", "[0,8]"), HasSubstr("more than 64 dimensions"));
}

TEST(SafetensorsParse, SizesFitTheirBytes) {
  EXPECT_EQ(refused_entry("\"F32\"", "[3]", "[0,8]"),
            "f: tensor a: data_offsets: expected 12 bytes for shape (3) of F32, got 8");
  EXPECT_THAT(refused_entry("\"F32\"", "[1099511627776]", "[0,8]"), HasSubstr("expected 4398046511104 bytes"));
  EXPECT_THAT(refused_entry("\"F32\"", "[1099511627776,1099511627776]", "[0,8]"), HasSubstr("below 2^63"));
  EXPECT_THAT(refused_entry("\"U8\"", "[0,1099511627776,1099511627776]", "[0,0]"), HasSubstr("below 2^63"));
  EXPECT_THAT(refused_entry("\"F4\"", "[3]", "[0,8]"), HasSubstr("whole bytes"));
  EXPECT_THAT(refused_entry("\"F32\"", "[1]", "[0,4]"), HasSubstr("expected 4 bytes of data after the header, got 8"));
  EXPECT_THAT(refused_entry("\"F32\"", "[4]", "[0,16]"),
              HasSubstr("expected 16 bytes of data after the header, got 8: the file is cut short"));
  EXPECT_THAT(refused_entry("\"F32\"", "[1]", "[4,8]"), HasSubstr("expected to begin at 0"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2]", "[8,0]"), HasSubstr("expected to begin at 0"));
  EXPECT_THAT(refused_entry("\"F32\"", "[2]", "[0,18446744073709551615]"), HasSubstr("expected 8 bytes for shape"));
  const std::string overlap =
      "{\"a\":" + entry("\"F32\"", "[1]", "[0,4]") + ",\"b\":" + entry("\"F32\"", "[1]", "[2,6]") + "}";
  EXPECT_THAT(refusal(overlap, "123456"), HasSubstr("tensor b: data_offsets: expected to begin at 4"));
}

TEST(SafetensorsParse, NamesAreEscapedInErrors) {
  EXPECT_THAT(refusal(R"({"a\nb\u001b[31m":1})", ""), HasSubstr(R"(a\nb\u001b[31m: expected an object)"));
}

// Every prefix and every changed byte of the header of a small file: an error of one line or tensors that lie in it.
TEST(SafetensorsParse, CutsAndFlipsNeverCrash) {
  const std::string bytes =
      safetensors_bytes("{\"__metadata__\":{\"k\":\"v\"},\"a\":" + entry("\"BF16\"", "[2,3]", "[0,12]") +
                            ",\"b\":" + entry("\"I64\"", "[]", "[12,20]") + "}",
                        "0123456789abcdefghij");
  auto survives = [](const std::string& changed) {
    try {
      for (const StoredTensor& tensor : parse(changed).tensors) {
        EXPECT_GE(reinterpret_cast<const char*>(tensor.bytes.data()), changed.data());
        EXPECT_LE(reinterpret_cast<const char*>(tensor.bytes.data() + tensor.bytes.size()),
                  changed.data() + changed.size());
      }
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(int(error.kind()), int(ErrorKind::kInput)) << error.what();
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
      return false;
    }
  };
  EXPECT_TRUE(survives(bytes));
  for (size_t length = 0; length < bytes.size(); length++) EXPECT_FALSE(survives(bytes.substr(0, length))) << length;
  EXPECT_FALSE(survives(bytes + "x"));
  for (size_t i = 0; i < bytes.size(); i++) {
    for (int value = 0; value < 256; value++) {
      std::string changed = bytes;
      changed[i] = char(value);
      survives(changed);
    }
  }
}

}  // namespace
}  // namespace tenth
