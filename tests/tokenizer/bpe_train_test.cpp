// Training against what the tokenizers library learns from the same texts (bpe_fixture.json, made by bpe_fixture.py).
#include "tokenizer/bpe_train.h"

#include <gtest/gtest.h>

#include <map>

#include "base/threads.h"
#include "base/utf8.h"
#include "tiny.h"
#include "tokenizer/bpe_files.h"
#include "tokenizer/chat_format.h"

namespace tenth {
namespace {

Json fixture() { return read_json(Path(TENTH_SOURCE_DIR) / "tests/tokenizer/bpe_fixture.json"); }

std::vector<WordCounts::Word> count(const std::vector<std::string>& texts) {
  WordCounts words;
  words.add(texts);
  return words.words();
}

std::vector<std::string> merge_texts(const BpeVocabulary& vocabulary) {
  std::vector<std::string> texts;
  for (const auto& [left, right] : vocabulary.merges)
    texts.push_back(vocabulary.tokens[size_t(left)] + " " + vocabulary.tokens[size_t(right)]);
  return texts;
}

Tokenizer tokenizer_of(const BpeVocabulary& vocabulary) {
  return Tokenizer::from_json(Json(bpe_tokenizer_json(vocabulary, text_specials())), Json(bpe_tokenizer_config_json()),
                              "trained");
}

TEST(BpeTrain, EqualsTheLibraryMergeForMerge) {
  const Json json = fixture();
  ASSERT_EQ(json["specials"].get<std::vector<std::string>>(), text_specials());
  const auto words = count(json["texts"]);
  for (const Json& learnt : json["learnt"]) {
    SCOPED_TRACE(learnt["min_frequency"].dump());
    const auto vocabulary = train_bpe(words, {learnt["vocab_size"], learnt["min_frequency"], text_specials()});
    EXPECT_EQ(merge_texts(vocabulary), learnt["merges"].get<std::vector<std::string>>());
    const auto expected = learnt["tokens"].get<std::vector<std::string>>();
    EXPECT_EQ(std::vector<std::string>(vocabulary.tokens.begin() + 264, vocabulary.tokens.end()), expected);
    const Tokenizer tokenizer = tokenizer_of(vocabulary);
    for (const Json& sample : learnt["encoded"])
      EXPECT_EQ(tokenizer.encode(sample["text"].get<std::string>(), false), sample["ids"].get<std::vector<int32_t>>());
  }
}

TEST(BpeTrain, FilesAreReadBack) {
  const auto vocabulary = train_bpe(count(fixture()["texts"]), {500, 0, text_specials()});
  const Tokenizer tokenizer = tokenizer_of(vocabulary);
  EXPECT_EQ(tokenizer.vocab_size(), 500);
  for (size_t i = 0; i < text_specials().size(); i++) {
    EXPECT_EQ(tokenizer.id_of(text_specials()[i]), int32_t(i));
    EXPECT_TRUE(tokenizer.is_special(int32_t(i)));
  }
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.pad_id(), 0);
  EXPECT_NO_THROW(require_chat_template(tokenizer));
  const auto ids = tokenizer.encode("to be", false);
  auto with_bos = ids;
  with_bos.insert(with_bos.begin(), 1);
  EXPECT_EQ(tokenizer.with_template(ids), with_bos);
  std::string all = "e\u0301 \u00e9 \u212b";  // no normaliser: nothing is composed
  for (char32_t c = 1; c < 0x3000; c += 7) append_code_point(c, all);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(all, false), false), all);
}

TEST(BpeTrain, WordsDoNotDependOnThreadsNorOnCuts) {
  std::string text;
  for (int i = 0; text.size() < (5u << 20); i++)
    text += fmt::format("word{} of \n\n  line {}\r\nNext,\n{}x\n\n\nEnd", i % 977, i, i % 3 ? "\t" : "");
  std::map<std::string, int64_t> expected;
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", kSplitPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  PreTokenizer(Field(split, "split")).run(text, [&](std::string_view word) { expected[std::string(word)]++; });
  const int before = thread_count();
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    std::map<std::string, int64_t> got;
    for (const auto& word : count({text})) got[word.bytes] = word.count;
    EXPECT_EQ(got, expected);
  }
  set_thread_count(before);
}

TEST(BpeTrain, StopsWhereNothingIsLeftToMerge) {
  const auto vocabulary = train_bpe({{"abc", 3}, {"abd", 2}}, {100000, 0, {}});
  EXPECT_EQ(merge_texts(vocabulary), (std::vector<std::string>{"a b", "ab c", "ab d"}));
  EXPECT_EQ(merge_texts(train_bpe({{"abc", 3}, {"abd", 2}}, {100000, 3, {}})),
            (std::vector<std::string>{"a b", "ab c"}));
  EXPECT_EQ(train_bpe({}, {256, 0, {}}).tokens.size(), 256u);
}

TEST(BpeTrain, RefusesAVocabularyWithoutRoomForBytes) {
  EXPECT_EQ(error_of([] {
              train_bpe({}, {263, 0, text_specials()});
            }),
            "input: vocabulary size: expected 264 (special tokens and bytes) to 4194304, got 263");
}

TEST(BpeTrain, CanBeStopped) {
  const auto words = count(fixture()["texts"]);
  EXPECT_THROW(train_bpe(words, {900, 0, {}}, [](int64_t, int64_t) { throw std::runtime_error("stop"); }),
               std::runtime_error);
}

TEST(Tokenizer, WordsThatComeAgainHaveTheSameIds) {
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::string word = " aaaa";
  std::string text;
  std::vector<int32_t> expected;
  const auto ids = tokenizer.encode(word, false);
  for (int i = 0; i < 1000; i++) {
    text += word;
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(tokenizer.encode(text, false), expected);
}

}  // namespace
}  // namespace tenth
