// Properties of any tokenizer, over a tiny one.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "tiny.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pattern.h"

namespace tenth {
namespace {

using Ids = std::vector<int32_t>;

std::string well_formed(std::string_view bytes) {
  std::string text;
  append_well_formed(bytes, true, text);
  return text;
}

// Bytes that meet the interesting cases often: letters, leads and tails of UTF-8, brackets of added tokens.
std::string random_bytes(Rng& rng, size_t size) {
  static const std::vector<std::string> parts = {"a",    "aa",       " ",      "<s>",     "<think>",  "<",
                                                 "\n",   "é",        "\u0301", "e\u0301", "\xF0\x9F", "\x98\x80",
                                                 "\xC3", "\xE2\x82", "l",      "7",       "你"};
  std::string text;
  while (text.size() < size) {
    if (rng.chance(0.2))
      text += char(rng.below(256));
    else
      text += parts[rng.below(parts.size())];
  }
  return text;
}

TEST(Tokenizer, RandomBytesComeBackNormalised) {
  const Tokenizer tokenizer = tiny_tokenizer();
  Rng rng(1);
  for (int i = 0; i < 3000; i++) {
    const std::string bytes = random_bytes(rng, rng.below(40));
    const std::string text = well_formed(bytes);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes, false), false), to_nfc(text));
    EXPECT_EQ(tokenizer.encode(bytes, true), tokenizer.encode(text, true));
    for (int32_t id : tokenizer.encode(bytes, false)) EXPECT_LT(id, 263) << "an added token from plain text";
  }
}

TEST(Tokenizer, MergesLowestRankThenLeftmost) {
  const Tokenizer tokenizer = tiny_tokenizer();
  EXPECT_EQ(tokenizer.encode("aaaaa", true), (Ids{257, 'a'}));
  EXPECT_EQ(tokenizer.encode("lll", true), (Ids{262, 'l'}));
  EXPECT_EQ(tokenizer.encode(" aa", true), (Ids{' ', 256}));  // "a a" has the lower rank than "Ġ a"
  EXPECT_EQ(tokenizer.encode("<think>a<s>", true), (Ids{264, 'a', 263}));
  EXPECT_EQ(tokenizer.with_template({'a'}), (Ids{263, 'a'}));
  EXPECT_EQ(tokenizer.encode("", true), Ids{});
}

TEST(Tokenizer, IgnoreMergesTakesWholePieces) {
  Json json = tiny_bpe();
  json["model"]["vocab"]["hi"] = 300;
  EXPECT_EQ(Tokenizer::from_json(json, Json(), "tiny").encode("hi", true), (Ids{'h', 'i'}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(Tokenizer::from_json(json, Json(), "tiny").encode("hi", true), (Ids{300}));
}

TEST(Tokenizer, PrefixSpaceAndGpt2Pattern) {
  Json json = tiny_bpe();
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}};
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "tiny");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("x y", true), false), " x y");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(" x y", true), false), " x y");
  EXPECT_EQ(tokenizer.encode("  a", true), (Ids{' ', 261}));  // the first space is a piece of its own
}

// Long runs are where a quadratic step would show: 1 MiB would take hours.
TEST(Tokenizer, LongRunsFinish) {
  const Tokenizer tokenizer = tiny_tokenizer();
  const size_t n = size_t(1) << 20;
  const std::string tail = "x";
  EXPECT_EQ(tokenizer.encode(std::string(n, 'a'), true).size(), n / 8);
  EXPECT_EQ(tokenizer.encode(std::string(n, ' '), true).size(), n / 4);
  EXPECT_EQ(tokenizer.encode(std::string(n, ' ') + "\n", true).size(), n / 4 + 1);
  EXPECT_GE(tokenizer.encode(std::string(n, ' ') + tail, true).size(), n / 4);
  EXPECT_EQ(tokenizer.encode(std::string(n, '\n'), true).size(), n);
  EXPECT_EQ(tokenizer.encode(std::string(n, '<'), true).size(), n);
  std::string marks = "e", thinks;
  for (size_t i = 0; i < n / 4; i++) marks += "\u0301\u0316";
  for (size_t i = 0; i < n / 8; i++) thinks += "<think";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(marks, true), false).size(),
            marks.size() - 1);  // e and the first U+0301: é
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(thinks, true), false), thinks);
}

TEST(StreamDecoder, GivesWholeCharactersAndTheSameText) {
  const Tokenizer tokenizer = tiny_tokenizer();
  Rng rng(2);
  for (int i = 0; i < 2000; i++) {
    Ids ids;
    for (uint64_t k = rng.below(12); k > 0; k--) ids.push_back(int32_t(rng.below(uint64_t(tokenizer.vocab_size()))));
    for (uint8_t c : random_bytes(rng, 10)) ids.push_back(c);
    const bool skip = rng.chance(0.5);
    StreamDecoder decoder(tokenizer, skip);
    std::string text;
    for (int32_t id : ids) {
      const std::string part = decoder.push(id);
      EXPECT_EQ(part, well_formed(part));
      text += part;
    }
    EXPECT_EQ(text + decoder.finish(), tokenizer.decode(ids, skip));
  }
}

TEST(StreamDecoder, HoldsBackUnfinishedCharacters) {
  StreamDecoder decoder(tiny_tokenizer(), true);
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.push(0x98), "");
  EXPECT_EQ(decoder.push(263), "");  // special: skipped
  EXPECT_EQ(decoder.push(0x80), "😀");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push('a'), "\uFFFDa");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(Tokenizer, IdsThatAreNoTokens) {
  Json json = tiny_bpe();
  json["model"]["vocab"]["far"] = 400;
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), "tiny");
  EXPECT_EQ(tokenizer.vocab_size(), 401);
  for (int32_t id : {-1, 300, 401, INT32_MAX})
    EXPECT_EQ(error_of([&] { (void)tokenizer.decode(Ids{id}, false); }),
              fmt::format("input: ids: expected ids of tokens, 0 to 400, got {}", id));
}

size_t pieces(const char* pattern, const std::string& text) {
  size_t count = 0;
  Pattern(pattern, "m").isolate(text, [&](std::string_view) { count++; });
  return count;
}

// As the tokenizers library cuts: \s is Unicode White_Space, with U+0085 and without U+180E, U+001C, U+200B.
TEST(Pattern, WhiteSpace) {
  for (const char* space : {"\u0085", "\u00A0", "\u2028", "\v", "\u3000", "\u1680"}) {
    for (const char* pattern : {"\\s", "[\\s]", "[^\\S]"})
      EXPECT_EQ(pieces(pattern, std::string("x") + space + "x"), 3u);
    for (const char* pattern : {"\\S+", "[\\S]+", "[^\\s]+"})
      EXPECT_EQ(pieces(pattern, std::string("xx") + space + "xx"), 3u);
  }
  for (const char* other : {"\u180E", "\x1C", "\x1F", "\u200B", "\uFEFF", "\u2060"}) {
    for (const char* pattern : {"\\s", "[\\s]", "[^\\S]"})
      EXPECT_EQ(pieces(pattern, std::string("x") + other + "x"), 1u);
    for (const char* pattern : {"\\S+", "[\\S]+", "[^\\s]+", "[\\s\\S]+"})
      EXPECT_EQ(pieces(pattern, std::string("x") + other + "x"), 1u);
  }
}

// Against a search at each place.
TEST(AddedTokens, LeftmostLongest) {
  const std::vector<std::string> tokens = {"a", "ab", "abab", "bab", "bb", "aabb", "baba"};
  AddedTokens automaton;
  for (size_t i = 0; i < tokens.size(); i++) automaton.add(tokens[i], int32_t(i));
  automaton.build();
  Rng rng(3);
  for (int round = 0; round < 5000; round++) {
    std::string text;
    for (uint64_t k = rng.below(16); k > 0; k--) text += char('a' + rng.below(3));
    std::vector<std::pair<size_t, int32_t>> expected, got;
    for (size_t i = 0; i < text.size();) {
      int best = -1;
      for (size_t t = 0; t < tokens.size(); t++)
        if (text.compare(i, tokens[t].size(), tokens[t]) == 0 &&
            (best < 0 || tokens[t].size() > tokens[size_t(best)].size()))
          best = int(t);
      if (best >= 0) expected.emplace_back(i, best);
      i += best >= 0 ? tokens[size_t(best)].size() : 1;
    }
    for (const auto& match : automaton.find(text)) got.emplace_back(match.begin, match.id);
    EXPECT_EQ(got, expected) << text;
  }
}

TEST(Utf8, IllFormedParts) {  // Unicode 15, table 3-8 and 3-11
  EXPECT_EQ(well_formed("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(well_formed("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(well_formed("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(well_formed("\xF4\x90"), "\uFFFD\uFFFD");
  EXPECT_EQ(well_formed("é你😀"), "é你😀");
}

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00E9");
  EXPECT_EQ(to_nfc("\u1100\u1161\u11A8"), "\uAC01");
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(to_nfc("\u2126\u212B"), "\u03A9\u00C5");
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093C");  // excluded from composition
  EXPECT_EQ(to_nfc("plain é"), "plain é");
}

}  // namespace
}  // namespace tenth
