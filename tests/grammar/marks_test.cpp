// Tokens that are marks and no text; members that are written as DSML has them.
#include <gtest/gtest.h>

#include "grammar/json_schema.h"
#include "grammar_util.h"

namespace tenth {
namespace {

// 0..255: bytes; then <a>, |b|, "a>" and the end. The first two are marks.
std::shared_ptr<const GrammarVocabulary> small_vocabulary() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; byte++) bytes.emplace_back(1, char(byte));
  for (const char* text : {"<a>", "|b|", "a>", "</s>"}) bytes.emplace_back(text);
  const std::vector<int32_t> ends = {259}, marks = {256, 257};
  return std::make_shared<const GrammarVocabulary>(bytes, ends, marks);
}

std::vector<int32_t> follows(const GrammarMatcher& matcher, const GrammarVocabulary& vocabulary) {
  std::vector<uint32_t> mask(vocabulary.mask_words());
  matcher.fill_mask(mask);
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < int32_t(vocabulary.size()); id++)
    if (allowed(mask, id)) ids.push_back(id);
  return ids;
}

TEST(GrammarMarks, StandWhereTheyAreNamedAndNowhereElse) {
  const auto vocabulary = small_vocabulary();
  GrammarMatcher named(std::make_shared<GrammarMasks>(
      Grammar::from_gbnf("root ::= \"<a>\" \"x|b|y\" [^z] \"<a\"", "g", vocabulary.get()), vocabulary));
  EXPECT_EQ(follows(named, *vocabulary), std::vector<int32_t>{256});
  EXPECT_FALSE(named.accept('<'));
  EXPECT_TRUE(named.accept(256) && named.accept('x'));
  EXPECT_EQ(follows(named, *vocabulary), std::vector<int32_t>{257});
  EXPECT_TRUE(named.accept(257) && named.accept('y'));
  for (int32_t id : {256, 257, 0xFF, int('z')}) EXPECT_FALSE(named.accept(id)) << id;  // any character, but no mark
  EXPECT_TRUE(named.accept('|') && named.accept('<') && named.accept('a') && named.complete());
  // Within a string of JSON its text may stand, spelled by other tokens.
  GrammarMatcher text(std::make_shared<GrammarMasks>(schema_grammar(R"({"type": "string"})"), vocabulary));
  EXPECT_TRUE(text.accept('"'));
  EXPECT_FALSE(text.accept(256) || text.accept(257) || text.accept(0xFF));
  EXPECT_TRUE(text.accept('<') && text.accept(258) && text.accept('"') && text.complete());
  // A byte of a mark's character in UTF-8's pattern is none.
  EXPECT_FALSE(Grammar::from_gbnf("root ::= .", "g").accepts("\xF4\x90\x80\x80"));
}

TEST(GrammarParameters, TextAsItIsOrJson) {
  const ParameterSyntax syntax = {.before_name = "<p ",
                                  .before_text = " T>",
                                  .before_json = " J>",
                                  .after = "</p>",
                                  .between = ",",
                                  .last = ";",
                                  .never_in_text = "</p>"};
  const auto grammar = [&](const char* schema) {
    return Grammar::from_parameters(schema_of(schema), "s", MemberOrder::kAny, syntax);
  };
  const Grammar one =
      grammar(R"({"type": "object", "properties": {"a": {"type": "string", "minLength": 2, "maxLength": 3},
      "b": {"type": ["integer", "null"]}, "c": {"enum": ["x", 1]}}, "required": ["b"], "additionalProperties": false})");
  EXPECT_TRUE(one.accepts("<p b J>1</p>;"));
  EXPECT_FALSE(one.accepts("<p a T>\n\"</</p>,<p b J>null</p>,<p c T>x</p>;"));  // 4 characters
  EXPECT_TRUE(one.accepts("<p a T>\n\"<</p>,<p b J>null</p>,<p c T>x</p>;"));
  EXPECT_TRUE(one.accepts("<p c J>1</p>,<p b J>2</p>;"));
  for (const char* refused :
       {";", "<p b T>1</p>;", "<p b J>1</p>", "<p b J>1</p>,;", "<p b J>1</p>,<p a T>x</p>;",
        "<p b J>1</p>,<p c J>\"x\"</p>;", "<p b J>1</p>,<p b J>1</p>;", "<p b J>1</p>,<p d J>1</p>;"})
    EXPECT_FALSE(one.accepts(refused)) << refused;
  const Grammar any = grammar(R"({"type": "object"})");
  EXPECT_TRUE(any.accepts(";"));
  EXPECT_TRUE(any.accepts("<p some thing T></p ></p>,<p é J>{\"a\": \"</p>\"}</p>;"));
  EXPECT_FALSE(any.accepts("<p a T></p></p>;"));
  EXPECT_FALSE(any.accepts("<p \" T>a</p>;"));
  EXPECT_FALSE(any.accepts("<p a J>\"text\"</p>;"));
  EXPECT_NE(error_of([&] { grammar(R"({"type": "object", "properties": {"a\"b": {}}})"); }).find("a\"b"),
            std::string::npos);
  EXPECT_NE(error_of([&] { grammar(R"({"enum": [{"a": 1}]})"); }).find("whole objects"), std::string::npos);
  EXPECT_NE(error_of([&] { grammar(R"({"type": "string"})"); }), "");
}

}  // namespace
}  // namespace tenth
