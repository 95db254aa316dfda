// However the text is cut, the parts are the same.
#include "serve/reply_parser.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace tenth::testing {
namespace {

using Kind = ReplyPart::Kind;

// Parts of one kind that follow each other, joined.
std::string shown(const std::vector<ReplyPart>& parts) {
  std::string y;
  Kind last = Kind::kToolCall;
  for (const ReplyPart& part : parts) {
    if (part.kind == Kind::kToolCall)
      y += "|call " + part.name + " " + part.text;
    else if (part.kind != last || y.empty())
      y += std::string(part.kind == Kind::kReasoning ? "|thought " : "|text ") + part.text;
    else
      y += part.text;
    last = part.kind;
  }
  return y;
}

std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> y;
  for (char c : text) {
    if ((c & 0xc0) == 0x80)
      y.back() += c;
    else
      y.emplace_back(1, c);
  }
  return y;
}

std::string parsed(const std::string& text, const ReplyParser::Options& options, Rng* rng) {
  ReplyParser parser(options);
  std::vector<ReplyPart> parts;
  const auto add = [&](std::vector<ReplyPart> more) { parts.insert(parts.end(), more.begin(), more.end()); };
  std::string piece;
  for (const std::string& c : characters(text)) {
    piece += c;
    if (rng && rng->chance(0.6)) continue;
    add(parser.push(piece));
    piece.clear();
  }
  add(parser.push(piece));
  add(parser.finish());
  return shown(parts) + (parser.stopped() ? "|stop " + parser.stop() : "");
}

void expect(const std::string& text, const ReplyParser::Options& options, const std::string& want) {
  EXPECT_EQ(parsed(text, options, nullptr), want);
  Rng rng(1);
  for (int i = 0; i < 30; i++) EXPECT_EQ(parsed(text, options, &rng), want);
}

TEST(ReplyParser, ThoughtsAndAnswers) {
  expect("plain", {}, "|text plain");
  expect("a < b", {}, "|text a < b");
  expect("<think>\nso\n</think>\n\nHi", {}, "|thought so\n|text Hi");
  expect("  <think>so</think>Hi", {}, "|thought so|text Hi");
  expect("so</think>\nHi", {.in_reasoning = true}, "|thought so|text Hi");
  expect("never ends </thi", {.in_reasoning = true}, "|thought never ends </thi");
  expect("</think>Hi", {.in_reasoning = true}, "|text Hi");
  expect("<think>so</think>Hi", {.split_reasoning = false}, "|text <think>so</think>Hi");
  expect("", {}, "");
  expect("<thin", {}, "|text <thin");
}

TEST(ReplyParser, StopStrings) {
  expect("one two three", {.stops = {"two"}}, "|text one |stop two");
  expect("aab", {.stops = {"ab"}}, "|text a|stop ab");
  expect("so far STOP</think>x", {.in_reasoning = true, .stops = {"STOP"}}, "|thought so far |stop STOP");
  expect("ends in ST", {.stops = {"STOP"}}, "|text ends in ST");
  expect("äöü€x", {.stops = {"€"}}, "|text äöü|stop €");
  expect("first of both", {.stops = {"both", "of"}}, "|text first |stop of");
}

TEST(ReplyParser, CallsOfTools) {
  const ReplyParser::Options hermes{.tools = ToolFormat::kHermes};
  expect("I look.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"b\": 1, \"a\": [2]}}\n</tool_call>", hermes,
         "|text I look.|call add {\"b\":1,\"a\":[2]}");
  expect("<tool_call>{\"name\": \"f\"}</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>",
         hermes, "|call f {}|call g {}");
  expect("<tool_call>{\"name\": \"f\", \"arguments\": {}}", hermes, "|call f {}");  // the end was not written
  expect("<tool_call>no json</tool_call> rest", hermes, "|text <tool_call>no json</tool_call> rest");
  expect("<tool_call>{\"name\": 5}</tool_call>", hermes, "|text <tool_call>{\"name\": 5}</tool_call>");
  // The mark within a value ends nothing; a string with a line end in it is no JSON, and what is not read is all there.
  expect("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\\\"</tool_call>\"}}</tool_call>", hermes,
         "|call f {\"a\":\"\\\"</tool_call>\"}");
  expect("So:\n<tool_call>{\"\n</tool_call>\n<tool_call>{\"name\": \"f\"}</tool_call>", hermes,
         "|text So:\n<tool_call>{\"\n</tool_call>|call f {}");
  expect("<tool_call>{\"name\": \"f", hermes, "|text <tool_call>{\"name\": \"f");
  expect("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1, \"a\": 2}}</tool_call>", hermes, "|call f {\"a\":2}");
  expect("<tool_call>{\"name\": \"f\"}</tool_call>", {}, "|text <tool_call>{\"name\": \"f\"}</tool_call>");
  const ReplyParser::Options deepseek{.tools = ToolFormat::kDeepSeekV3};
  expect(
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": "
      "1}\n```<｜tool▁call▁end｜>\n"
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>sub\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      deepseek, "|call add {\"a\":1}|call sub {}");
  expect(
      "so</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": "
      "1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
      {.in_reasoning = true, .tools = ToolFormat::kDeepSeekV3}, "|thought so|call add {\"a\":1}");
  const ReplyParser::Options dsml{.tools = ToolFormat::kDsmlV32};
  expect(
      "Fine.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"add\">\n"
      "<｜DSML｜parameter name=\"a\" string=\"false\">1</｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"why\" string=\"true\">so > that</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
      dsml, "|text Fine.|call add {\"a\":1,\"why\":\"so > that\"}");
}

}  // namespace
}  // namespace tenth::testing
