// Masks: the same as trying every token; forks, drafts taken back, ends, dead ends.
#include <gtest/gtest.h>

#include <thread>

#include "base/rng.h"
#include "grammar_util.h"

namespace tenth {
namespace {

// All bytes, pieces that split characters and span symbols, tokens that are alike, an empty one, and two ends.
std::vector<std::string> small_vocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; byte++) tokens.emplace_back(1, char(byte));
  for (const char* text : {"{\"",
                           "\"}",
                           "\":",
                           "\": ",
                           "\",\"",
                           "\":\"",
                           "},{",
                           "\"},{\"",
                           "[]",
                           "[[",
                           "]]",
                           "{}",
                           "true",
                           "false",
                           "null",
                           "tru",
                           "als",
                           "ab",
                           "abc",
                           "a\"",
                           "b\"]",
                           "\\u",
                           "\\u00",
                           "\\ud83d",
                           "\\n",
                           "\\\"",
                           "12",
                           "-1",
                           "0.5",
                           "1e",
                           "  ",
                           "\n  ",
                           "\n    ",
                           "name",
                           "value",
                           "\xC3\xA9",
                           "\xF0\x9F",
                           "\x98\x80",
                           "\xE2\x82",
                           "\xC3",
                           "a\xC3",
                           "\xA9\"",
                           "12",
                           "abcdefghijklmnopqrstuvwxyz",
                           "\"a\": 1, \"b\"",
                           ":[",
                           ",[",
                           ", ",
                           "}\n",
                           "{\"a\":"})
    tokens.emplace_back(text);
  tokens.emplace_back();  // a special token
  tokens.emplace_back("<end>");
  tokens.emplace_back("<stop>");
  return tokens;
}

struct Bench {
  std::vector<std::string> tokens = small_vocabulary();
  std::vector<int32_t> ends = {int32_t(tokens.size() - 2), int32_t(tokens.size() - 1)};
  std::shared_ptr<const GrammarVocabulary> vocabulary = std::make_shared<const GrammarVocabulary>(tokens, ends);

  std::shared_ptr<GrammarMasks> masks(const Grammar& grammar) const {
    return std::make_shared<GrammarMasks>(grammar, vocabulary);
  }
  std::vector<uint32_t> mask(const GrammarMatcher& matcher) const {
    std::vector<uint32_t> bits(vocabulary->mask_words(), 0xFFFFFFFF);
    matcher.fill_mask(bits);
    return bits;
  }
};

std::vector<Grammar> grammars() {
  std::vector<Grammar> all;
  all.push_back(Grammar::json_object());
  all.push_back(
      schema_grammar(R"({"type":"array","items":{"type":"string","minLength":2,"maxLength":5},"maxItems":4})"));
  all.push_back(schema_grammar(R"({"type":"object","properties":{"a":{"type":"integer","minimum":-3,"maximum":120},
    "b":{"type":"string","pattern":"^[a-c]+é?$"},"c":{"enum":["x","abc",null,1.5,{"k":[true]}]}},"required":["b"],
    "additionalProperties":{"type":"number"}})",
                               MemberOrder::kAny));
  all.push_back(
      schema_grammar(R"({"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"name":{"type":"string"},
    "value":{"type":"array","items":{"$ref":"#/$defs/tree"}}},"required":["name"],"additionalProperties":false}}})"));
  all.push_back(schema_grammar(R"({"type":"string","minLength":20,"maxLength":40})"));
  all.push_back(schema_grammar(R"({"type":"object","patternProperties":{"^a":{"type":"boolean"}},"maxProperties":3})"));
  all.push_back(Grammar::from_gbnf("root ::= (\"a\" | \"ab\" | \"abc\")* [^a\\n]{2,3} (\"é\" | \"€\")? \"😀\"*", "g"));
  all.push_back(
      Grammar::from_gbnf("root ::= expr\nexpr ::= term ([-+] term)*\nterm ::= [0-9]+ | \"(\" expr \")\"", "g"));
  return all;
}

TEST(GrammarMatcher, MaskIsWhatEveryTokenTriedAloneGives) {
  const Bench bench;
  size_t states = 0;
  for (const Grammar& grammar : grammars()) {
    const auto masks = bench.masks(grammar);
    for (uint64_t seed = 0; seed < 12; seed++) {
      Rng rng(seed);
      GrammarMatcher matcher(masks);
      std::string text;
      for (int n = 0; n < 60 && !matcher.finished(); n++, states++) {
        const std::vector<uint32_t> mask = bench.mask(matcher);
        std::vector<int32_t> choices;
        for (int32_t id = 0; id < int32_t(bench.tokens.size()); id++) {
          GrammarMatcher alone = matcher;
          const bool taken = alone.accept(id);
          ASSERT_EQ(allowed(mask, id), taken) << "behind " << text << " token " << bench.tokens[size_t(id)];
          if (taken) choices.push_back(id);
        }
        for (size_t bit = bench.tokens.size(); bit < 32 * mask.size(); bit++) EXPECT_FALSE(allowed(mask, int32_t(bit)));
        ASSERT_FALSE(choices.empty()) << "a dead end behind " << text;
        const int32_t id = choices[size_t(rng.uniform() * double(choices.size()))];
        ASSERT_TRUE(matcher.accept(id));
        if (!matcher.finished()) text += bench.tokens[size_t(id)];
      }
      if (matcher.finished()) {
        EXPECT_TRUE(grammar.accepts(text)) << text;
      }
    }
  }
  EXPECT_GT(states, 2000u);
}

TEST(GrammarMatcher, EndsOnlyWhereComplete) {
  const Bench bench;
  GrammarMatcher matcher(bench.masks(Grammar::from_gbnf("root ::= \"a\" \"b\"?", "g")));
  EXPECT_FALSE(matcher.complete());
  EXPECT_FALSE(matcher.accept(bench.ends[0]));
  EXPECT_TRUE(matcher.accept('a'));
  EXPECT_TRUE(matcher.complete());
  const std::vector<uint32_t> mask = bench.mask(matcher);
  EXPECT_TRUE(allowed(mask, bench.ends[0]) && allowed(mask, bench.ends[1]) && allowed(mask, 'b'));
  EXPECT_FALSE(allowed(mask, bench.ends[0] - 1)) << "a token without text";
  EXPECT_TRUE(matcher.accept(bench.ends[1]));
  EXPECT_TRUE(matcher.finished());
  EXPECT_FALSE(matcher.accept('b'));
  std::vector<uint32_t> none(bench.vocabulary->mask_words(), 1);
  EXPECT_FALSE(matcher.fill_mask(none));
  EXPECT_EQ(none, std::vector<uint32_t>(none.size(), 0));
  matcher.rollback(1);
  EXPECT_FALSE(matcher.finished());
  EXPECT_TRUE(matcher.accept('b'));
}

TEST(GrammarMatcher, RefusesIdsOutOfRangeAndKeepsItsState) {
  const Bench bench;
  GrammarMatcher matcher(bench.masks(Grammar::from_gbnf("root ::= \"ab\"", "g")));
  for (int32_t id : {-1, int32_t(bench.tokens.size()), INT32_MAX, INT32_MIN, int32_t('b')}) {
    EXPECT_FALSE(matcher.accept(id));
  }
  EXPECT_TRUE(matcher.accept('a'));
  EXPECT_FALSE(matcher.accept('a'));
  EXPECT_TRUE(matcher.accept('b'));
  EXPECT_TRUE(matcher.complete());
}

TEST(GrammarMatcher, DeadEndIsTold) {
  // No token spells what must come.
  const std::vector<std::string> tokens = {"a", "b", ""};
  const std::vector<int32_t> ends = {2};
  const auto vocabulary = std::make_shared<const GrammarVocabulary>(tokens, ends);
  GrammarMatcher matcher(std::make_shared<GrammarMasks>(Grammar::from_gbnf("root ::= \"a\" \"c\"", "g"), vocabulary));
  std::vector<uint32_t> mask(1);
  EXPECT_TRUE(matcher.fill_mask(mask));
  EXPECT_EQ(mask[0], 1u);
  EXPECT_TRUE(matcher.accept(0));
  EXPECT_FALSE(matcher.fill_mask(mask));
  EXPECT_EQ(mask[0], 0u);
}

TEST(GrammarMatcher, DraftsAreTakenBackAndForksGoTheirOwnWay) {
  const Bench bench;
  const auto masks =
      bench.masks(schema_grammar(R"({"type":"array","items":{"enum":["ab","abc"]},"minItems":2,"maxItems":3})"));
  GrammarMatcher matcher(masks);
  for (char c : std::string("[\"ab")) ASSERT_TRUE(matcher.accept(c));
  const std::vector<uint32_t> here = bench.mask(matcher);
  GrammarMatcher fork = matcher;
  for (char c : std::string("\",\"abc\"]")) ASSERT_TRUE(matcher.accept(c));
  EXPECT_TRUE(matcher.complete());
  for (char c : std::string("c\", \"ab\"")) ASSERT_TRUE(fork.accept(c)) << c;
  EXPECT_FALSE(fork.complete());
  matcher.rollback(8);
  EXPECT_EQ(bench.mask(matcher), here);
  EXPECT_THROW(matcher.rollback(GrammarMatcher::kMaxRollback + 1), Error);
  EXPECT_EQ(bench.mask(matcher), here);
}

// Sets that grow past their bound are replaced while matchers stand in them.
TEST(GrammarMatcher, GoesOnWhenTheSetsAreReplaced) {
  const Bench bench;
  const auto masks = bench.masks(schema_grammar(R"({"type":"string","maxLength":400000})"));
  GrammarMatcher matcher(masks), waiting(masks);
  ASSERT_TRUE(matcher.accept('"'));
  ASSERT_TRUE(waiting.accept('"') && waiting.accept('x'));
  const std::vector<uint32_t> inside = bench.mask(waiting);
  size_t most = 0;
  for (int n = 0; n < 200000; n++) {
    ASSERT_TRUE(matcher.accept('a'));
    if (n % 1000 == 0) most = std::max(most, masks->bytes());
  }
  EXPECT_LT(most, size_t(200) << 20);
  EXPECT_EQ(bench.mask(waiting), inside);
  waiting.rollback(1);
  EXPECT_TRUE(waiting.accept('"') && waiting.complete());
  matcher.rollback(60);
  EXPECT_TRUE(matcher.accept('"') && matcher.complete());
}

TEST(GrammarMatcher, OneGrammarForManyThreads) {
  const Bench bench;
  const auto masks = bench.masks(Grammar::json_object());
  std::vector<std::jthread> threads;
  std::vector<std::string> texts(4);
  for (size_t t = 0; t < texts.size(); t++)
    threads.emplace_back([&, t] {
      Rng rng(t % 2);
      GrammarMatcher matcher(masks);
      for (int n = 0; n < 150; n++) {
        const std::vector<uint32_t> mask = bench.mask(matcher);
        std::vector<int32_t> choices;
        for (int32_t id = 0; id < bench.ends[0]; id++)
          if (allowed(mask, id)) choices.push_back(id);
        if (choices.empty()) return;
        const int32_t id = choices[size_t(rng.uniform() * double(choices.size()))];
        matcher.accept(id);
        texts[t] += bench.tokens[size_t(id)];
      }
    });
  threads.clear();
  EXPECT_EQ(texts[0], texts[2]);
  EXPECT_EQ(texts[1], texts[3]);
}

TEST(GrammarVocabulary, RefusesEndsThatAreNoTokens) {
  const std::vector<std::string> tokens = {"a"};
  const std::vector<int32_t> ends = {1};
  EXPECT_THROW(GrammarVocabulary(tokens, ends), Error);
}

}  // namespace
}  // namespace tenth
