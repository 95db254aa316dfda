// Models under other names and in other forms, by the real binary: what the commands take, and what comes back from
// GGUF.
#include "checkpoint/gguf_vocabulary.h"
#include "cli/open_model.h"
#include "cli/process.h"
#include "nn/arch/architecture.h"
#include "nn/tiny_models.h"
#include "shared.h"
#include "tiny_run.h"
#include "tokenizer/bpe.h"

namespace tenth::testing {
namespace {

// A byte-level BPE that GGUF has a name for, with a chat template, an unused id and tokens of both added kinds.
void write_vocabulary(const Path& folder) {
  OrderedJson vocab = OrderedJson::object(), merges = OrderedJson::array(), added = OrderedJson::array();
  for (int b = 0; b < 256; b++) vocab[byte_text(uint8_t(b))] = b;
  vocab["aa"] = 256;
  vocab["Ġa"] = 257;
  merges.push_back(OrderedJson::array({"a", "a"}));
  merges.push_back(OrderedJson::array({"Ġ", "a"}));
  const std::vector<std::pair<std::string, bool>> tokens = {{"<s>", true}, {"</s>", true}, {"<tool>", false}};
  for (size_t i = 0; i < tokens.size(); i++)
    added.push_back({{"id", 258 + i},
                     {"content", tokens[i].first},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", tokens[i].second}});
  const Json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  write_file(folder / "tokenizer.json",
             OrderedJson{{"added_tokens", added},
                         {"normalizer", nullptr},
                         {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {digits, level}}}},
                         {"post_processor", parse_json(R"({"type": "TemplateProcessing",
                             "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                             "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}}})",
                                                       "post_processor")},
                         {"decoder", level},
                         {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}}
                 .dump());
  write_file(folder / "tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>",
      "chat_template": "{% for m in messages %}{{ bos_token + m['content'] }}\n{% endfor %}"})");
}

class Convert : public ::testing::Test {
 protected:
  void SetUp() override {
    ModelConfig config = tiny_config("mla_mtp");
    config.vocab_size = 264;
    config.bos_token_id = 258;
    config.eos_token_ids = {259};
    config.num_nextn_predict_layers = 0;
    config.max_position_embeddings = 128;
    Transformer model(config, get_backend("cpu"), DType::kF32);
    initialize(model, 5, 0.5);
    std::filesystem::create_directories(model_);
    save_model(model_, model, DType::kF32);
    write_vocabulary(model_);
  }
  std::string ids_of(const Path& model) const {
    return expect_success(tenth({"tokenize", "--model", model.string()},
                                {.input = "{\"text\": \"a aa<s> 12<tool>\\u00e9\\n</s>\"}\n{\"text\": \"\"}\n"}));
  }

  TempFolder folder_;
  Path model_ = folder_ / "model";
};

TEST_F(Convert, ToGgufAndBackKeepsTokenizerConfigAndWeights) {
  const Path file = folder_ / "m.gguf", back = folder_ / "other" / "model", again = folder_ / "again.gguf";
  std::filesystem::create_directories(back.parent_path());
  const auto convert = [](const Path& from, const Path& to) {
    const Result result = tenth({"convert", from.string(), "--out", to.string(), "--dtype", "f32"});
    expect_success(result);
    EXPECT_EQ(result.err.find("without"), std::string::npos) << result.err;
  };
  convert(model_, file);
  convert(file, back);
  const std::string ids = ids_of(model_);
  EXPECT_NE(ids.find("[258,"), std::string::npos) << "the tokenizer's own bos: " << ids;
  EXPECT_EQ(ids_of(file), ids);
  EXPECT_EQ(ids_of(back), ids);
  const Json before = read_json(model_ / "tokenizer.json"), after = read_json(back / "tokenizer.json");
  EXPECT_EQ(after["model"]["vocab"], before["model"]["vocab"]);
  EXPECT_EQ(after["model"]["merges"], before["model"]["merges"]);
  EXPECT_EQ(after["added_tokens"], before["added_tokens"]);
  const Json settings = read_json(back / "tokenizer_config.json");
  EXPECT_EQ(settings["chat_template"], read_json(model_ / "tokenizer_config.json")["chat_template"]);
  EXPECT_EQ(settings["bos_token"], "<s>");
  EXPECT_EQ(settings["eos_token"], "</s>");
  EXPECT_EQ(read_json(back / "generation_config.json")["eos_token_id"], 259);
  Json old = read_json(model_ / "config.json"), now = read_json(back / "config.json");
  for (Json* config : {&old, &now})
    for (const char* key : {"initializer_range", "aux_loss_alpha"}) config->erase(key);  // GGUF has no place for them
  EXPECT_EQ(now, old);
  EXPECT_EQ(weights_of(back), weights_of(model_));
  convert(back, again);
  EXPECT_EQ(read_file(again), read_file(file));
}

TEST_F(Convert, CommandsTakeTheNameOfAModelThatWasPulled) {
  const Path cache = folder_ / "hub", snapshot = cache / "models--me--tiny" / "snapshots" / "0123abc";
  std::filesystem::create_directories(snapshot.parent_path());
  std::filesystem::create_directories(cache / "models--me--tiny" / "refs");
  write_file(cache / "models--me--tiny" / "refs" / "main", "0123abc");
  std::filesystem::rename(model_, snapshot);
  ::setenv("HF_HUB_CACHE", cache.c_str(), 1);
  const Path text = folder_ / "a.txt", ids = folder_ / "ids.safetensors", out = folder_ / "out";
  write_file(text, std::string(300, 'b'));
  const std::vector<int64_t> row = {1, 2, 3};
  write_safetensors(
      ids, std::vector<TensorToWrite>{
               {.name = "input_ids", .dtype = "I64", .shape = {1, 3}, .bytes = std::as_bytes(std::span(row))}});
  const std::string gguf = (folder_ / "t.gguf").string();
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"inspect", "me/tiny"},
           {"convert", "me/tiny", "--out", gguf},
           {"convert", "me/tiny", "--out", (folder_ / "f").string()},
           {"quantize", "me/tiny", "--to", "q8_0", "--out", (folder_ / "q.gguf").string()},
           {"perplexity", "--model", "me/tiny", "--text", text.string(), "--context", "64"},
           {"score", "--model", "me/tiny", "--ids", ids.string(), "--out", out.string()},
           {"generate", "--model", "me/tiny", "--ids", "1,2", "--max-new-tokens", "2"}}) {
    SCOPED_TRACE(arguments[0]);
    expect_success(tenth(arguments));
  }
  EXPECT_EQ(GgufFile::open(gguf).metadata().text("general.name"), "tiny");
  expect_refused(tenth({"inspect", "me/other"}), "tenth pull me/other");
  expect_refused(tenth({"convert", "me/other", "--out", gguf}), "tenth pull me/other");
  // A repository of one .gguf file.
  for (const auto& entry : std::filesystem::directory_iterator(snapshot)) std::filesystem::remove(entry.path());
  std::filesystem::rename(gguf, snapshot / "t.gguf");
  const std::string shown = expect_success(tenth({"inspect", "me/tiny"}));
  EXPECT_NE(shown.find("tokenizer: 264 tokens, with a chat template"), std::string::npos) << shown;
  expect_success(tenth({"perplexity", "--model", "me/tiny", "--text", text.string(), "--context", "64"}));
  ::unsetenv("HF_HUB_CACHE");
}

// The vocabularies of releases, by way of GGUF.
TEST(ConvertedVocabulary, OfReleasesIsTheSame) {
  TENTH_NEEDS_SHARED();
  TempFolder folder;
  for (const char* name : {"deepseek_v3", "qwen3"}) {
    SCOPED_TRACE(name);
    const Path from = shared_folder() / "data" / "tokenizers" / name;
    ModelConfig config;
    config.vocab_size = 151936;
    write_gguf(folder / "v.gguf", gguf_vocabulary_entries(from, config), {});
    const GgufFile file = GgufFile::open(folder / "v.gguf");
    const TokenizerFiles files = tokenizer_files(vocabulary_of(file.metadata()));
    const Tokenizer before = Tokenizer::load(from),
                    after = Tokenizer::from_json(parse_json(files.tokenizer, "t"), parse_json(files.config, "c"), "f");
    ASSERT_EQ(after.vocab_size(), before.vocab_size());
    for (int32_t id = 0; id < before.vocab_size(); id++) {
      ASSERT_EQ(after.token_text(id), before.token_text(id)) << id;
      ASSERT_EQ(after.is_special(id), before.is_special(id)) << id;
    }
    EXPECT_EQ(after.chat_template(), before.chat_template());
    EXPECT_EQ(after.bos_id(), before.bos_id());
    EXPECT_EQ(after.eos_id(), before.eos_id());
    const std::string cases = read_file(shared_folder() / "golden/tokenizer" / (std::string(name) + ".jsonl"));
    for (size_t at = 0; at < cases.size();) {
      const size_t end = cases.find('\n', at);
      const Json one = parse_json(std::string_view(cases).substr(at, end - at), "case");
      EXPECT_EQ(after.encode(one["text"].get<std::string>(), true), one["ids_no_special"].get<std::vector<int32_t>>());
      at = end + 1;
    }
  }
}

}  // namespace
}  // namespace tenth::testing
