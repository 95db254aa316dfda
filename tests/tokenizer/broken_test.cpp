// Files that are broken or ask for what is not built: one clear error, never a crash or wrong ids.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/rng.h"
#include "tiny.h"

namespace tenth {
namespace {

std::string error_with(const std::function<void(Json&)>& change) {
  Json json = tiny_bpe();
  change(json);
  return error_of([&] { Tokenizer::from_json(json, Json(), "m"); });
}

TEST(BrokenTokenizer, NamesFileFieldExpectedGot) {
  const Json bpe = tiny_bpe();
  EXPECT_EQ(error_of([&] { Tokenizer::from_json(bpe, Json(), "m"); }), "");
  EXPECT_EQ(error_with([](Json& j) { j = Json::array(); }), "input: m/tokenizer.json: expected an object, got array");
  EXPECT_EQ(error_with([](Json& j) { j.erase("model"); }),
            "input: m/tokenizer.json: model: expected an object, got null");
  EXPECT_EQ(error_with([](Json& j) { j["model"]["vocab"]["x y"] = 1.5; }),
            "input: m/tokenizer.json: model: vocab: \"x y\": expected a whole number, got 1.5");
  EXPECT_EQ(error_with([](Json& j) { j["model"]["vocab"]["x y"] = 97; }),
            "input: m/tokenizer.json: model: vocab: expected one token with id 97, got \"a\" and \"x y\"");
  EXPECT_EQ(error_with([](Json& j) { j["model"]["vocab"]["x y"] = int64_t(1) << 40; }),
            "input: m/tokenizer.json: model: vocab: expected a whole number from 0 to 4194303, got 1099511627776");
  EXPECT_EQ(
      error_with([](Json& j) { j["model"]["vocab"].erase("a"); }),
      "input: m/tokenizer.json: model: vocab: expected a token for each printable byte, got none for byte 97 (\"a\")");
  EXPECT_EQ(
      error_with([](Json& j) { j["model"]["merges"][1] = "a b c"; }),
      "input: m/tokenizer.json: model: merges[1]: expected two tokens (\"a b\" or [\"a\", \"b\"]), got \"a b c\"");
  EXPECT_EQ(error_with([](Json& j) {
              j["model"]["merges"][1] = {"q", "q"};
            }),
            "input: m/tokenizer.json: model: merges[1]: expected tokens of the vocabulary, got \"qq\"");
  EXPECT_EQ(error_with([](Json& j) { j["added_tokens"][0]["id"] = -3; }),
            "input: m/tokenizer.json: added_tokens[0]: id: expected a whole number from 0 to 4194303, got -3");
  EXPECT_EQ(
      error_with([](Json& j) { j["post_processor"]["special_tokens"]["<s>"]["ids"][0] = 999; }),
      "input: m/tokenizer.json: post_processor: special_tokens: <s>: ids[0]: expected the id of a token, got 999");
  EXPECT_NE(error_with([](Json& j) {
              j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a";
            }).find("pre_tokenizer: pretokenizers[0]: pattern: expected a regular expression, got one with an error"),
            std::string::npos);
}

TEST(BrokenTokenizer, RefusesByNameWhatIsNotBuilt) {
  auto refuses = [](const std::string& name, const std::function<void(Json&)>& change) {
    const std::string error = error_with(change);
    EXPECT_TRUE(error.starts_with("unsupported: m/tokenizer.json: ") && error.find(name) != std::string::npos) << error;
  };
  refuses("Unigram", [](Json& j) { j["model"]["type"] = "Unigram"; });
  refuses("NFKC", [](Json& j) { j["normalizer"] = {{"type", "NFKC"}}; });
  refuses("Metaspace", [](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}}; });
  refuses("Removed", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; });
  refuses("after ByteLevel", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}}); });
  refuses("ByteLevel", [](Json& j) { j["decoder"] = {{"type", "Metaspace"}}; });
  refuses("BertProcessing", [](Json& j) { j["post_processor"] = {{"type", "BertProcessing"}}; });
  refuses("lstrip", [](Json& j) { j["added_tokens"][0]["lstrip"] = true; });
  refuses("byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; });
  refuses("dropout", [](Json& j) { j["model"]["dropout"] = 0.1; });
  for (const char* pattern : {"\\w+", "[a[b]]", "[a&&b]", "(?m:.)", "a{1,2}+", "\\bx", "\\h"})
    refuses("in a pattern", [&](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern; });
}

TEST(BrokenTokenizer, DeepNestingIsRefused) {
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor"}) {
    const char* list = std::string(key) == "normalizer"       ? "normalizers"
                       : std::string(key) == "post_processor" ? "processors"
                                                              : "pretokenizers";
    Json nested = {{"type", "Sequence"}, {list, Json::array()}};
    for (int i = 0; i < 50; i++) nested = {{"type", "Sequence"}, {list, Json::array({nested})}};
    EXPECT_TRUE(error_with([&](Json& j) { j[key] = nested; }).starts_with("input: m/tokenizer.json: ")) << key;
  }
}

TEST(BrokenTokenizer, HostilePatternEndsInAnError) {
  Json json = tiny_bpe();
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:x+x+)+[yz]";
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "m");
  const std::string error = error_of([&] { (void)tokenizer.encode(std::string(5000, 'x'), true); });
  EXPECT_TRUE(error.starts_with("input: m/tokenizer.json: pre_tokenizer: pretokenizers[0]: pattern: expected"))
      << error;
}

TEST(BrokenTokenizer, EmptyMatchesEnd) {
  Json json = tiny_bpe();
  json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x*";
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "m");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("éaxxb你", true), false), "éaxxb你");
}

TEST(BrokenTokenizer, TokensOfTheConfig) {
  EXPECT_EQ(error_of([] {
              Tokenizer::from_json(tiny_bpe(), {{"eos_token", "<none>"}}, "m");
            }),
            "input: m/tokenizer_config.json: eos_token: expected a token of tokenizer.json, got \"<none>\"");
  const Tokenizer tokenizer =
      Tokenizer::from_json(tiny_bpe(), {{"eos_token", {{"content", "<s>"}}}, {"bos_token", nullptr}}, "m");
  EXPECT_EQ(tokenizer.eos_id(), 263);
  EXPECT_EQ(tokenizer.bos_id(), std::nullopt);
}

// Every cut of a file, and random damage to it.
TEST(BrokenTokenizer, DamagedFiles) {
  const Path folder = std::filesystem::temp_directory_path() / fmt::format("tenth-broken-{}", ::getpid());
  std::filesystem::create_directories(folder);
  EXPECT_TRUE(error_of([&] {
                Tokenizer::load(folder);
              }).starts_with("other: " + folder.string() + "/tokenizer.json: cannot open"));
  const std::string text = tiny_bpe().dump();
  Rng rng(4);
  auto load = [&](const std::string& bytes) {
    return error_of([&] { Tokenizer::from_json(parse_json(bytes, "m"), Json(), "m"); });
  };
  for (size_t cut = 0; cut < text.size(); cut += 41) {
    const std::string error = load(text.substr(0, cut));
    EXPECT_TRUE(error.starts_with("input: m: not valid JSON")) << cut << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
  for (int i = 0; i < 500; i++) {
    std::string damaged = text;
    for (uint64_t k = 1 + rng.below(3); k > 0; k--) damaged[rng.below(damaged.size())] = char(rng.below(256));
    const std::string error = load(damaged);  // may well be none
    EXPECT_FALSE(error.starts_with("other")) << error;
  }
  write_file(folder / "tokenizer.json", text.substr(0, text.size() / 2));
  EXPECT_TRUE(error_of([&] {
                Tokenizer::load(folder);
              }).starts_with("input: " + folder.string() + "/tokenizer.json: not valid JSON"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tenth
