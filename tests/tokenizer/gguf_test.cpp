// Vocabularies of GGUF files against llama.cpp's ids (shared/golden/tokenizer_gguf). The files are read here by a few
// lines of our own: the tokenizer's room knows no checkpoints.
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "base/files.h"
#include "shared.h"
#include "tiny.h"
#include "tokenizer/gguf_vocabulary.h"

namespace tenth {
namespace {

using Ids = std::vector<int32_t>;

// The metadata of a well formed file.
class Metadata {
 public:
  explicit Metadata(std::string_view bytes) : bytes_(bytes) {
    at_ = 16;
    for (auto entries = take<uint64_t>(); entries > 0; entries--) {
      const std::string key(text());
      value(key, take<uint32_t>());
    }
  }
  std::map<std::string, std::vector<std::string_view>> texts;
  std::map<std::string, std::vector<int64_t>> numbers;

 private:
  template <class T>
  T take() {
    T number;
    std::memcpy(&number, bytes_.data() + at_, sizeof number);
    at_ += sizeof number;
    return number;
  }
  std::string_view text() {
    const auto size = take<uint64_t>();
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  void value(const std::string& key, uint32_t type) {
    constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      texts[key].push_back(text());
    } else if (type == 9) {
      const auto element = take<uint32_t>();
      for (auto count = take<uint64_t>(); count > 0; count--) value(key, element);
    } else {
      int64_t number = 0;
      std::memcpy(&number, bytes_.data() + at_, kSizes[type]);
      at_ += kSizes[type];
      numbers[key].push_back(number);
    }
  }

  const std::string_view bytes_;
  size_t at_ = 0;
};

Tokenizer tokenizer_of(const Path& file) {
  const std::string bytes = read_file(file);
  Metadata m(bytes);
  auto one = [&](const char* key) { return m.texts[key].empty() ? "" : std::string(m.texts[key][0]); };
  auto id = [&](const char* key) {
    return m.numbers[key].empty() ? std::nullopt : std::optional<int64_t>(m.numbers[key][0]);
  };
  return Tokenizer::from_gguf({.where = file.filename().string(),
                               .model = one("tokenizer.ggml.model"),
                               .pre = one("tokenizer.ggml.pre"),
                               .tokens = m.texts["tokenizer.ggml.tokens"],
                               .types = m.numbers["tokenizer.ggml.token_type"],
                               .merges = m.texts["tokenizer.ggml.merges"],
                               .bos = id("tokenizer.ggml.bos_token_id"),
                               .eos = id("tokenizer.ggml.eos_token_id"),
                               .pad = id("tokenizer.ggml.padding_token_id"),
                               .add_bos = std::nullopt,
                               .chat_template = one("tokenizer.chat_template")});
}

// The texts of a .inp file and the ids of its .out.
void expect_ids(const Path& vocabulary, const Path& cases) {
  SCOPED_TRACE(vocabulary.filename().string());
  const Tokenizer tokenizer = tokenizer_of(vocabulary);
  const std::string input = read_file(cases.string() + ".inp"), cut = "\n__ggml_vocab_test__\n";
  std::istringstream out(read_file(cases.string() + ".out"));
  size_t begin = 0, count = 0;
  for (size_t end; (end = input.find(cut, begin)) != input.npos; begin = end + cut.size()) {
    const std::string text = input.substr(begin, end - begin);
    std::string line;
    ASSERT_TRUE(std::getline(out, line));
    std::istringstream numbers(line);
    Ids expected;
    for (int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer.encode(text, false), expected) << "\"" << text << "\"";
    count++;
  }
  EXPECT_EQ(count, 46u);
}

TEST(GgufTokenizer, GoldenIds) {
  TENTH_NEEDS_SHARED();
  const Path folder = shared_folder() / "golden" / "tokenizer_gguf";
  expect_ids(folder / "ggml-vocab-deepseek-llm.gguf", folder / "ggml-vocab-deepseek-llm.gguf");
  expect_ids(folder / "vocab-qwen3.gguf", folder / "ggml-vocab-qwen2.gguf");
}

// A file in memory: the 256 bytes, a merge, a control token.
struct Small {
  std::vector<std::string> texts;
  GgufVocabulary vocabulary;
  Small() {
    for (int b = 0; b < 256; b++) texts.push_back(byte_text(uint8_t(b)));
    texts.insert(texts.end(), {"aa", "<s>", "<tool>"});
    vocabulary.where = "m.gguf";
    vocabulary.model = "gpt2";
    vocabulary.pre = "smollm";
    vocabulary.tokens.assign(texts.begin(), texts.end());
    vocabulary.types.assign(texts.size(), 1);
    vocabulary.types[257] = 3;
    vocabulary.types[258] = 4;
    vocabulary.merges = {"a a"};
    vocabulary.bos = 257;
  }
};

TEST(GgufTokenizer, TokensAndBos) {
  Small small;
  small.vocabulary.add_bos = true;
  small.vocabulary.chat_template = "{{ messages }}";
  const Tokenizer tokenizer = Tokenizer::from_gguf(small.vocabulary);
  EXPECT_EQ(tokenizer.encode("aa<s>a<tool>", true), (Ids{256, 257, 97, 258}));
  EXPECT_EQ(tokenizer.encode("<s>", false).size(), 3u);
  EXPECT_EQ(tokenizer.with_template({97}), (Ids{257, 97}));
  EXPECT_EQ(tokenizer.decode(Ids{97, 257, 258}, true), "a<tool>");
  EXPECT_EQ(tokenizer.named_tokens().at("bos_token"), "<s>");
  EXPECT_EQ(tokenizer.chat_template(), "{{ messages }}");
  EXPECT_EQ(tokenizer.bos_id(), 257);
}

TEST(GgufTokenizer, NamesWhatIsWrong) {
  auto error = [](const std::function<void(GgufVocabulary&)>& change) {
    Small small;
    change(small.vocabulary);
    return error_of([&] { (void)Tokenizer::from_gguf(small.vocabulary); });
  };
  EXPECT_EQ(error([](GgufVocabulary&) {}), "");
  EXPECT_EQ(error([](GgufVocabulary& v) { v.model = "llama"; }),
            "unsupported: m.gguf: tokenizer.ggml.model: llama is not supported (gpt2, byte-level BPE, is)");
  EXPECT_TRUE(error([](GgufVocabulary& v) {
                v.pre = "falcon";
              }).starts_with("unsupported: m.gguf: tokenizer.ggml.pre: falcon is not supported (deepseek-llm, "));
  EXPECT_EQ(error([](GgufVocabulary& v) { v.types.pop_back(); }),
            "input: m.gguf: tokenizer.ggml.token_type: expected one for each of 259 tokens, got 258");
  EXPECT_EQ(error([](GgufVocabulary& v) { v.tokens[3] = "\xff"; }),
            "input: m.gguf: tokenizer.ggml.tokens[3]: expected UTF-8, got other bytes");
  EXPECT_EQ(error([](GgufVocabulary& v) { v.bos = 259; }),
            "input: m.gguf: tokenizer.ggml.bos_token_id: expected 0 to 258, got 259");
  EXPECT_EQ(error([](GgufVocabulary& v) { v.merges = {"a zz"}; }),
            "input: m.gguf: tokenizer.ggml: merges[0]: expected tokens of the vocabulary, got \"zz\"");
  EXPECT_NE(error([](GgufVocabulary& v) { v.tokens[3] = v.tokens[4]; }), "");
}

}  // namespace
}  // namespace tenth
