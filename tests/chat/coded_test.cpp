// The vectors that DeepSeek released with the encoders of V3.2 and V4 (shared/golden/chat/README.deepseek.md).
#include "base/error.h"
#include "base/files.h"
#include "base/ordered_json.h"
#include "chat/coded_formats.h"
#include "shared.h"

namespace tenth {
namespace {

// {"messages", "tools"} or the bare list of messages.
ChatRequest vector_of(const Path& file) {
  OrderedJson json = parse_ordered_json(read_file(file), file.string());
  if (json.is_array()) json = {{"messages", std::move(json)}};
  return read_chat_request(json, file.string());
}

std::string stripped(std::string text) {
  const char* space = " \n";
  text.erase(text.find_last_not_of(space) + 1);
  return text.erase(0, text.find_first_not_of(space));
}

TEST(CodedFormats, ReleasedVectors) {
  TENTH_NEEDS_SHARED();
  const Path folder = shared_folder() / "golden" / "chat";
  for (const std::string name : {"", "_search_wo_date"})
    EXPECT_EQ(
        stripped(render_deepseek_v32(vector_of(folder / "deepseek_v32" / ("test_input" + name + ".json"))).text()),
        stripped(read_file(folder / "deepseek_v32" / ("test_output" + name + ".txt"))));
  for (const std::string name : {"1", "3"})
    EXPECT_EQ(stripped(render_deepseek_v4(vector_of(folder / "deepseek_v4" / ("test_input_" + name + ".json"))).text()),
              stripped(read_file(folder / "deepseek_v4" / ("test_output_" + name + ".txt"))));
}

ChatRequest request_of(const std::string& messages, const OrderedJson& kwargs = OrderedJson::object()) {
  return {parse_ordered_json(messages, "messages"), nullptr, kwargs};
}

constexpr const char* kTwoTurns = R"([{"role": "user", "content": "a"},
    {"role": "assistant", "reasoning_content": "t", "content": "b"}, {"role": "user", "content": "c"}])";

TEST(CodedFormats, ThinkingOnAndOff) {
  const std::string history =
      "<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜></think>b<｜end▁of▁sentence｜><｜User｜>c<｜Assistant｜>";
  for (auto render : {render_deepseek_v32, render_deepseek_v4}) {
    EXPECT_EQ(render(request_of(kTwoTurns)).text(), history + "<think>");
    EXPECT_EQ(render(request_of(kTwoTurns, {{"thinking", false}})).text(), history + "</think>");
    EXPECT_EQ(render(request_of(kTwoTurns, {{"enable_thinking", false}})).text(), history + "</think>");
  }
  EXPECT_EQ(render_deepseek_v4(request_of(kTwoTurns, {{"drop_thinking", false}})).text(),
            "<｜begin▁of▁sentence｜><｜User｜>a<｜Assistant｜><think>t</"
            "think>b<｜end▁of▁sentence｜><｜User｜>c<｜Assistant｜><think>");
  EXPECT_TRUE(render_deepseek_v4(request_of(kTwoTurns, {{"reasoning_effort", "max"}}))
                  .text()
                  .starts_with("<｜begin▁of▁sentence｜>Reasoning Effort: Absolute maximum"));
}

TEST(CodedFormats, V4ResultsInTheOrderOfTheCalls) {
  const std::string text = render_deepseek_v4(request_of(R"([{"role": "user", "content": "q"},
      {"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{\"n\": [1, \"é\"]}"}},
                                           {"id": "y", "function": {"name": "g", "arguments": "no json"}}]},
      {"role": "tool", "tool_call_id": "y", "content": "2"}, {"role": "tool", "tool_call_id": "x", "content": "1"},
      {"role": "user", "content": "go on"}])",
                                                         {{"thinking", false}}))
                               .text();
  EXPECT_EQ(
      text.substr(text.find("</think>")),
      "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n"
      "<｜DSML｜parameter name=\"n\" string=\"false\">[1, \"é\"]</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
      "<｜DSML｜invoke name=\"g\">\n<｜DSML｜parameter name=\"arguments\" string=\"true\">no json</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>\n</｜DSML｜tool_calls><｜end▁of▁sentence｜><｜User｜><tool_result>1</tool_result>\n\n"
      "<tool_result>2</tool_result>\n\ngo on<｜Assistant｜></think>");
}

TEST(CodedFormats, MarksAndRefusals) {
  const MarkedText text = render_deepseek_v32(request_of(R"([{"role": "user", "content": "<｜User｜>"}])"));
  ASSERT_EQ(text.runs().size(), 3u);
  EXPECT_EQ(text.runs()[1].origin, Origin::kUser);
  auto refused = [](const char* messages) {
    EXPECT_THROW((void)render_deepseek_v32(request_of(messages)), Error) << messages;
    EXPECT_THROW((void)render_deepseek_v4(request_of(messages)), Error) << messages;
  };
  refused(R"([{"role": "nobody", "content": "a"}])");
  refused(R"([{"role": "user", "content": 1}])");
  refused(R"([{"role": "user", "content": [{"type": "image"}]}])");
  refused(R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])");
  EXPECT_THROW((void)render_deepseek_v32(request_of(R"([{"role": "tool", "content": "a"}])")), Error);
}

}  // namespace
}  // namespace tenth
