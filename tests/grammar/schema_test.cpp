// What single words of JSON Schema do, and what is refused.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "grammar/number_text.h"
#include "grammar_util.h"

namespace tenth {
namespace {

struct Sample {
  const char* schema;
  std::vector<std::string> accepted, refused;
};

TEST(JsonSchema, Words) {
  const std::vector<Sample> samples = {
      {R"({"type":"object","properties":{"a":{"type":"null"},"b":{"type":"boolean"}},"required":["b"],"additionalProperties":false})",
       {R"({"b":true})", R"({"a":null,"b":false})", R"({ "a" : null , "b" : false })", "{\n  \"b\": true\n}"},
       {R"({})", R"({"b":true,"a":null})", R"({"a":null})", R"({"b":true,"c":1})", R"({"b":true,})",
        R"({"b":true,"b":true})", R"({  "b":true})", R"( {"b":true})"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"},"minItems":1,"maxItems":3})",
       {"[1]", "[1,\"a\"]", "[1, \"a\", null]"},
       {"[]", "[\"a\"]", "[1,null]", "[1,\"a\",2]", "[1,\"a\",null,null]"}},
      {R"({"type":"array","items":[{"const":1}],"additionalItems":false})", {"[]", "[1]"}, {"[2]", "[1,1]"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("é€😀")", R"("\u00e9\n")", R"("\ud83d\ude00\"")", R"("a\/")"},
       {R"("a")", R"("abcd")", R"("\ud83da")", R"("\udc00a")", "\"a\nb\"", R"("\x41a")", "\"\xFF\xFE\""}},
      {R"({"enum":["a","b\"c",1,1.5,null,{"x":[1,{"y":true}]}]})",
       {R"("a")", R"("b\"c")", "1", "1.5", "null", R"({"x":[1,{"y":true}]})", R"({"x": [1, {"y": true}]})",
        R"("\u0061")"},
       {R"("b")", "2", R"({"x":[1]})", "true"}},
      {R"({"type":"object","properties":{"kind":{"const":"a"}},"required":["kind"],"additionalProperties":{"type":"integer"}})",
       {R"({"kind":"a","other":3})"},
       {R"({"kind":"a","other":"x"})", R"({"kind":"a","k\u0069nd":3})", R"({"other":3})"}},
      {R"({"type":"object","patternProperties":{"^x":{"type":"integer"},"y$":{"minimum":5}},"additionalProperties":false,"maxProperties":2})",
       {R"({})", R"({"x":1})", R"({"xy":7,"xz":1})", R"({"ay":"text"})"},
       {R"({"xy":3})", R"({"xa":"t"})", R"({"a":1})", R"({"x1":1,"x2":2,"x3":3})"}},
      {R"({"type":"object","propertyNames":{"enum":["a","b"]},"minProperties":1})",
       {R"({"a":1})"},
       {R"({})", R"({"c":1})"}},
      {R"({"oneOf":[{"type":"object","required":["a"]},{"type":"object","required":["b"]}]})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"c":2})"},
       {R"({"a":1,"b":2})", R"({})", "1"}},
      {R"({"allOf":[{"type":"integer","minimum":3},{"maximum":5},{"not":{"const":4}}]})", {"3", "5"}, {"2", "6", "4"}},
      {R"({"type":"object","properties":{"t":{"enum":["n","s"]},"v":{}},"required":["t","v"],
          "if":{"properties":{"t":{"const":"n"}}},"then":{"properties":{"v":{"type":"number"}}},"else":{"properties":{"v":{"type":"string"}}}})",
       {R"({"t":"n","v":1.5})", R"({"t":"s","v":"x"})"},
       {R"({"t":"n","v":"x"})", R"({"t":"s","v":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"additionalProperties":false,"dependentRequired":{"a":["b"]}})",
       {R"({})", R"({"b":1})", R"({"a":1,"b":1})"},
       {R"({"a":1})"}},
      {R"({"type":"string","pattern":"^a","not":{"pattern":"b$"}})", {R"("a")", R"("abc")"}, {R"("ab")", R"("b")"}},
      {R"({"$defs":{"node":{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["next"]}},
          "$ref":"#/$defs/node"})",
       {R"({"next":null})", R"({"next":{"next":{"next":null}}})"},
       {R"({"next":{}})", R"({"next":1})"}},
      {R"({"type":"number","multipleOf":0.25})", {"0", "1.25", "-3.5"}, {"0.3", "1.20", "1e2"}},
      {R"({"type":"integer","multipleOf":7})", {"0", "14", "-21"}, {"1", "20"}},
      {R"({"format":"date","type":"string"})",
       {R"("2024-02-29")", R"("1999-12-31")"},
       {R"("2023-02-29")", R"("2024-13-01")", R"("0000-01-01")"}},
      {R"({"format":"date-time","type":"string"})",
       {R"("2024-02-29T23:59:59.5Z")", R"("1999-12-31T00:00:00+02:00")"},
       {R"("2024-02-29T24:00:00Z")", R"("2024-02-29 10:00:00")"}},
      {R"({"format":"uuid","type":"string"})",
       {R"("123e4567-e89b-12d3-a456-426614174000")"},
       {R"("123e4567e89b12d3a456426614174000")"}},
      {R"({"format":"ipv6","type":"string"})",
       {R"("::1")", R"("fe80::1:2")", R"("1:2:3:4:5:6:7:8")", R"("::ffff:1.2.3.4")"},
       {R"("1:2:3")", R"("1::2::3")", R"("1:2:3:4:5:6:7:8:9")"}},
      {R"({"format":"email","type":"string"})", {R"("a.b@example.com")"}, {R"("a@")", R"("a b@c")"}},
  };
  for (const Sample& sample : samples)
    for (const std::string& texts : {std::string("accepted"), std::string("refused")}) {
      const bool expected = texts == "accepted";
      const Grammar grammar = schema_grammar(sample.schema);
      for (const std::string& text : expected ? sample.accepted : sample.refused)
        EXPECT_EQ(grammar.accepts(text), expected) << sample.schema << "\n" << text;
    }
}

TEST(JsonSchema, NumbersBetweenBoundsAreThoseThatCompareSo) {
  std::vector<std::string> texts;
  for (const char* whole : {"0", "1", "2", "9", "10", "11", "12", "19", "99", "100", "101", "250", "999", "1000"})
    for (const char* rest : {"", ".0", ".5", ".25", ".250", ".3", ".05", ".999", ".001"})
      for (const char* sign : {"", "-"}) texts.push_back(std::string(sign) + whole + rest);
  Rng rng(7);
  const double bounds[] = {-1000, -100.5, -12,   -1, -0.25, 0,     0.05, 0.25, 1,
                           9.3,   10,     11.25, 99, 100,   250.5, 1e30, -1e30};
  for (int n = 0; n < 200; n++) {
    NumberLimits limits;
    if (rng.chance(0.8)) limits.least = NumberLimits::Bound{bounds[rng.below(std::size(bounds))], rng.chance(0.5)};
    if (rng.chance(0.8)) limits.most = NumberLimits::Bound{bounds[rng.below(std::size(bounds))], rng.chance(0.5)};
    const bool whole = rng.chance(0.3);
    const CharDfa dfa = number_dfa(limits, whole ? NumberKind::kWhole : NumberKind::kAny, "number");
    for (const std::string& text : texts) {
      const double value = std::stod(text);
      bool expected = !(whole && text.find('.') != text.npos);
      if (limits.least)
        expected = expected && (limits.least->exclusive ? value > limits.least->value : value >= limits.least->value);
      if (limits.most)
        expected = expected && (limits.most->exclusive ? value < limits.most->value : value <= limits.most->value);
      ASSERT_EQ(dfa.matches(text), expected) << text << " from " << (limits.least ? limits.least->value : NAN) << " to "
                                             << (limits.most ? limits.most->value : NAN);
    }
  }
}

TEST(JsonSchema, WhatIsNotSupportedIsNamedWithItsPlace) {
  const std::vector<std::pair<const char*, const char*>> refused = {
      {R"({"properties":{"a":{"type":"array","uniqueItems":true}}})",
       "schema: #/properties/a/uniqueItems: uniqueItems is not supported"},
      {R"({"type":"array","contains":{"type":"null"}})", "schema: #/contains: contains is not supported"},
      {R"({"type":"object","unevaluatedProperties":false})", "#/unevaluatedProperties"},
      {R"({"$ref":"https://example.com/a.json"})", "lies outside of the schema"},
      {R"({"$ref":"#/$defs/none"})", "names nothing in the schema"},
      {R"({"$dynamicRef":"#a"})", "$dynamicRef is not supported"},
      {R"x({"type":"string","pattern":"(?=a)"})x", "#/pattern: pattern uses look-ahead"},
      {R"({"type":"string","format":"regex"})", "format regex is not supported"},
      {R"({"type":"number","multipleOf":0.3333})", "multipleOf"},
      {R"({"type":"object","minProperties":2})", "minProperties 2 is not supported"},
      {R"({"type":"text"})", "#/type: expected null, boolean"},
      {R"({"type":"string","minLength":-1})", "#/minLength: expected a whole number"},
      {R"({"type":"integer","minimum":5,"maximum":4})", "no text can satisfy"},
      {R"({"enum":[1],"type":"string"})", "no text can satisfy"},
      {R"({"$ref":"#"})", "leads back to itself"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "leads back to itself"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "no text can satisfy"},
      {R"({"anyOf":[]})", "#/anyOf: expected a list"},
      {R"([1])", "expected a JSON Schema"},
  };
  for (const auto& [schema, reason] : refused) {
    const std::string error = error_of([&, text = schema] { schema_grammar(text); });
    EXPECT_NE(error.find(reason), error.npos) << schema << ": " << error;
    EXPECT_EQ(error.find('\n'), error.npos) << error;
  }
}

TEST(JsonSchema, HostileOnesAreRefusedInBoundedWork) {
  OrderedJson deep = true;
  for (int i = 0; i < 1000; i++) deep = OrderedJson{{"items", deep}};
  EXPECT_THROW(Grammar::from_json_schema(deep, "s", MemberOrder::kAny), Error);
  // 2^40 combinations of alternatives, 4^16 of references.
  OrderedJson all = OrderedJson::array();
  for (int i = 0; i < 40; i++)
    all.push_back({{"anyOf", {{{"required", {fmt::format("a{}", i)}}}, {{"required", {fmt::format("b{}", i)}}}}}});
  EXPECT_THROW(Grammar::from_json_schema({{"allOf", all}}, "s", MemberOrder::kAny), Error);
  OrderedJson defs;
  for (int i = 0; i < 16; i++) {
    const std::string next = fmt::format("#/$defs/d{}", i + 1);
    OrderedJson four = OrderedJson::array();
    for (int k = 0; k < 4; k++) four.push_back({{"allOf", {{{"$ref", next}}, {{"minLength", k + 10 * i}}}}});
    defs[fmt::format("d{}", i)] = {{"anyOf", four}};
  }
  defs["d16"] = {{"type", "string"}};
  EXPECT_THROW(Grammar::from_json_schema({{"$ref", "#/$defs/d0"}, {"$defs", defs}}, "s", MemberOrder::kAny), Error);
  EXPECT_THROW(schema_grammar(R"({"type":"string","pattern":"^(a|b)*a(a|b){40}$"})"), Error);
  EXPECT_THROW(schema_grammar(R"({"type":"string","pattern":"a","maxLength":1000000})"), Error);
  // Bounds are counted, not written out.
  EXPECT_TRUE(schema_grammar(R"({"type":"array","items":{"type":"string","maxLength":1000000},"maxItems":1000000})")
                  .accepts("[\"a\",\"\"]"));
  std::string members;
  for (int i = 0; i < 2000; i++) members += fmt::format("{}\"name{}\":{{\"type\":\"integer\"}}", i ? "," : "", i);
  EXPECT_TRUE(schema_grammar("{\"type\":\"object\",\"properties\":{" + members + "}}", MemberOrder::kAny)
                  .accepts("{\"name1999\":1,\"name5\":2}"));
}

}  // namespace
}  // namespace tenth
