// The notation of llama.cpp's grammars, patterns, and what hostile ones come to.
#include <gtest/gtest.h>

#include "grammar/regex.h"
#include "grammar_util.h"

namespace tenth {
namespace {

struct Sample {
  std::string grammar;
  std::vector<std::string> accepted, refused;
};

TEST(Gbnf, Samples) {
  const std::vector<Sample> samples = {
      {"# chess, as in the guide\n"
       "root ::= (\n    # the first move\n    \"1. \" move \" \" move \"\\n\"\n\n    ([1-9] [0-9]? \". \" move \" \" "
       "move \"\\n\")+\n)\n"
       "move ::= (pawn | nonpawn | castle) [+#]?\n"
       "nonpawn ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\n"
       "pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\n"
       "castle ::= \"O-O\" \"-O\"?\n",
       {"1. e4 e5\n2. Nf3 Nc6\n", "1. e4 e5\n2. Nf3 Nc6\n3. O-O-O exd8=Q+\n"},
       {"1. e4 e5\n", "1. e4 e5\n2. Nf3", "1. e9 e5\n2. Nf3 Nc6\n", ""}},
      {"root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\n"
       "term ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ "
       "\\t\\n]*\n",
       {"a=1\n", "(a+( b_2 *3))/4 = x \n", "1=2\n3=4\n"},
       {"a=", "=1\n", "(a=1\n", "A=1\n"}},
      {"root ::= item+\nitem ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"\n",
       {"- a\n", "- ä€😀\n- b\n"},
       {"- \n", "- a",
        "- a\xE2\x80\xA8"
        "b\n",
        "- \xFF\n", "- \xED\xA0\x80\n", "- \xC0\x80\n"}},
      {"root ::= jp-char+ ([ \\t\\n] jp-char+)*\njp-char ::= hiragana | katakana | punctuation | cjk\n"
       "hiragana ::= [ぁ-ゟ]\nkatakana ::= [ァ-ヿ]\npunctuation ::= [、-〾]\ncjk ::= [一-鿿]\n",
       {"こんにちは", "日本 カタカナ。"},
       {"abc", "日本 ", "\xE3\x81"}},
      {"root ::= \"a\"{3} \"b\"{2,} \"c\"{1,2} (\"d\" | \"e\" \"f\"){0,2}",
       {"aaabbc", "aaabbbbccdef"},
       {"aabbc", "aaabc", "aaabbccc", "aaabbcddd"}},
      {"root ::= \"x\" | \"y\" |\n  \"z\"", {"x", "z"}, {"", "xy"}},
      {"root ::= \"\" | a\na ::= \"(\" root \")\" root", {"", "()", "(())()"}, {"(", "())"}},
      {"root ::= [\\]\\\\^-] \"\\\"\\x41\\u00e9\\U0001F600\" [^a-z] .",
       {"]\"Aé😀A\n", "-\"Aé😀😀ü"},
       {"a\"Aé😀Ab", "]\"Aé😀ab"}},
  };
  for (const Sample& sample : samples) {
    const Grammar grammar = Grammar::from_gbnf(sample.grammar, "grammar");
    for (const std::string& text : sample.accepted)
      EXPECT_TRUE(grammar.accepts(text)) << sample.grammar << "\n" << text;
    for (const std::string& text : sample.refused)
      EXPECT_FALSE(grammar.accepts(text)) << sample.grammar << "\n" << text;
  }
}

TEST(Gbnf, BrokenOnesAreNamedByLine) {
  const std::vector<std::pair<std::string, std::string>> broken = {
      {"root ::= missing", "rule missing is used and nowhere defined"},
      {"a ::= \"b\"", "expected a rule named root"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: rule root is defined twice"},
      {"root ::= (\"a\"", "( without its )"},
      {"root ::= \"a", "before the end of the line"},
      {"root ::= [a", "before the end of the line"},
      {"root ::= [b-a]", "end is before its beginning"},
      {"root ::= \"a\"{3,2}", "end is before its beginning"},
      {"root ::= \"a\"{", "expected a number"},
      {"root ::= \"\\q\"", "unknown escape"},
      {"root ::= \"\\uD800\"", "code point"},
      {"root ::= * ", "unexpected character *"},
      {"root = \"a\"", "expected ::="},
      {"root ::= <think> \"a\"", "not supported"},
      {"root ::= root \"a\" | \"b\"", "left recursion"},
      {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "left recursion"},
      {"root ::= (\"\" | \"y\") root \"x\" | \"z\"", "left recursion"},
      {"root ::= \"a\" root", "no text can satisfy"},
      {"", "expected a rule named root"},
      {std::string("root ::= \"\xFF\""), "not well-formed"},
  };
  for (const auto& [grammar, reason] : broken) {
    const std::string error = error_of([&] { Grammar::from_gbnf(grammar, "the grammar"); });
    EXPECT_NE(error.find(reason), error.npos) << grammar << ": " << error;
    EXPECT_EQ(error.rfind("the grammar: ", 0), 0u) << error;
  }
}

TEST(Gbnf, HostileOnesAreRefusedOrHarmless) {
  const std::string deep(100000, '(');
  EXPECT_THROW(Grammar::from_gbnf("root ::= " + deep, "g"), Error);
  EXPECT_THROW(Grammar::from_gbnf("root ::= " + std::string(2 << 20, ' '), "g"), Error);
  // Counted, not written out.
  const Grammar many = Grammar::from_gbnf("root ::= (\"ab\"{0,1000000}){0,1000000} \"c\"", "g");
  EXPECT_TRUE(many.accepts("ababc"));
  EXPECT_FALSE(many.accepts("abac"));
  // 2^200 ways to read a text.
  const Grammar ambiguous =
      Grammar::from_gbnf("root ::= (\"a\" | \"a\" \"a\" | [a-c])* s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"\"", "g");
  EXPECT_TRUE(ambiguous.accepts(std::string(100, 'a') + std::string(50, 'b')));
  // Calls deeper than the bound are not entered.
  const Grammar nested = Grammar::from_gbnf("root ::= \"(\" root \")\" | \"\"", "g");
  EXPECT_TRUE(nested.accepts(std::string(100, '(') + std::string(100, ')')));
  EXPECT_FALSE(nested.accepts(std::string(100000, '(')));
  // A long chain of rules, and one with a cycle of empty ones.
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 5000; i++) chain += fmt::format("r{} ::= r{} | \"{}\"\n", i, i + 1, i % 10);
  chain += "r5000 ::= \"x\"\n";
  EXPECT_TRUE(Grammar::from_gbnf(chain, "g").accepts("7"));
  EXPECT_THROW(Grammar::from_gbnf("root ::= a\na ::= b?\nb ::= a?", "g"), Error);
}

TEST(Regex, FindsAsEcmaDoes) {
  const std::vector<Sample> samples = {
      {"^01$|^07$", {"01", "07"}, {"1", "010", "0107"}},
      {"b.*", {"b", "abc", "foobar"}, {"", "xyz"}},
      {"^dev|alpha|stable$", {"devel", "xalphax", "unstable"}, {"adev", "stables"}},
      {"^(a|b$|^c)+$", {"a", "ab", "aab", "c", "cab"}, {"", "ba", "cc", "ac"}},
      {"(^|,)x(,|$)", {"x", "a,x", "x,b"}, {"ax", "xa"}},
      {"^\\d{2,3}(?:\\.[0-9a-fA-F]+)?$", {"12", "123.fF"}, {"1", "1234", "12."}},
      {"^[\\w.-]+$", {"a_b-c.9"}, {"a b", "é"}},
      {"^[^\\s/]{2}\\S\\D$", {"abcd", "éü€x"}, {"a bc", "abc1", "a/cd"}},
      {"^a{0}b{2,}c{,3}$", {"bbc{,3}"}, {"abb", "bb"}},
      {"^\\u00e9\\x41\\/\\.\\-$", {"éA/.-"}, {"eA/.-"}},
      {"^(?:a*)*b??$", {"", "aaab"}, {"bb"}},
      {"^.$", {"a", "é", "😀"}, {"", "\n", "ab"}},
      {"", {"", "anything"}, {}},
  };
  for (const Sample& sample : samples) {
    const CharDfa dfa = regex_dfa(sample.grammar, "pattern");
    for (const std::string& text : sample.accepted) EXPECT_TRUE(dfa.matches(text)) << sample.grammar << " " << text;
    for (const std::string& text : sample.refused) EXPECT_FALSE(dfa.matches(text)) << sample.grammar << " " << text;
  }
}

TEST(Regex, BrokenAndHostilePatternsAreRefused) {
  for (const char* pattern : {"(", ")", "[a", "a**b)", "*", "a{2,1}", "\\", "[b-a]", "(?<x", "\\u12", "(?=a)", "(?!a)",
                              "(?<=a)b", "(a)\\1", "\\bword", "\\p{L}"})
    EXPECT_THROW(regex_dfa(pattern, "p"), Error) << pattern;
  // Exponential states, huge repetitions, deep groups.
  for (const std::string& pattern : {std::string("(a|b)*a(a|b){30}"), std::string("(((a{100}){100}){100}){100}"),
                                     std::string("(){1000000}"), std::string(5000, '(')})
    EXPECT_THROW(regex_dfa(pattern, "p"), Error) << pattern.substr(0, 40);
  EXPECT_TRUE(regex_dfa("^(a+)+$", "p").matches(std::string(5000, 'a')));
  EXPECT_FALSE(regex_dfa("^(a+)+$", "p").matches(std::string(5000, 'a') + "b"));
}

}  // namespace
}  // namespace tenth
