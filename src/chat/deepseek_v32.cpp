// DeepSeek V3.2 (encoding_dsv32.py of its release). BOS, system; then per turn: U user A and <think> where the turn is
// the last user's, </think> else; the answer and EOS. Results of tools follow the call without a new turn.
#include "base/error.h"
#include "chat/coded_formats.h"
#include "chat/dsml.h"

namespace tenth {
namespace {

constexpr const char* kToolsHead = R"(

## Tools

You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply to the user:
<｜DSML｜function_calls>
<｜DSML｜invoke name="$FUNCTION_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$FUNCTION_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜function_calls>

String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).

If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:

<｜DSML｜function_calls>
...
</｜DSML｜function_calls>

<function_results>
...
</function_results>

<think>...thinking about results</think>

Here are the functions available in JSONSchema format:
<functions>
)";
constexpr const char* kToolsTail = "\n</functions>\n";

class Renderer {
 public:
  explicit Renderer(const ChatRequest& request)
      : messages_(messages_with_tools(request)), thinking_(thinks(request)), last_user_(last_user(messages_)) {}

  MarkedText run() {
    out_.frame(kBegin);
    for (at_ = 0; at_ < int64_t(messages_.size()); at_++) message(messages_[size_t(at_)]);
    return out_.take();
  }

 private:
  void message(const OrderedJson& message) {
    const std::string role = text_member(message, "role");
    const std::string content = content_text(member(message, "content"), "");
    if (role == "system") {
      out_.data(content, Origin::kUser);
      additions(message);
    } else if (role == "user") {
      out_.frame(kUserTurn);
      out_.data(content, Origin::kUser);
      answer_begins(kAssistantTurn);
    } else if (role == "developer") {
      require(!content.empty(), ErrorKind::kInput, "messages[{}]: content: expected a text, got none", at_);
      out_.frame(kUserTurn);
      additions(message);
      out_.frame("\n\n# The user's message is: ");
      out_.data(content, Origin::kUser);
      answer_begins(kAssistantTurn);
    } else if (role == "assistant") {
      assistant(message, content);
    } else if (role == "tool") {
      tool(content);
    } else {
      fail(ErrorKind::kInput, "messages[{}]: role: expected system, developer, user, assistant or tool, got \"{}\"",
           at_, role);
    }
  }

  void additions(const OrderedJson& message) {
    if (const OrderedJson& tools = member(message, "tools"); !tools.is_null() && !tools.empty()) {
      out_.frame(kToolsHead);
      out_.schemas(tools);
      out_.frame(kToolsTail);
    }
    out_.response_format(message);
  }

  void answer_begins(std::string_view before) {
    out_.frame(before);
    out_.frame(thinking_ && at_ >= last_user_ ? kThink : kEndThink);
  }

  void assistant(const OrderedJson& message, const std::string& content) {
    if (thinking_ && at_ > last_user_) {
      out_.data(text_member(message, "reasoning_content"), Origin::kModel);
      out_.frame(kEndThink);
    }
    out_.data(content, Origin::kModel);
    out_.tool_calls(message, "function_calls");
    out_.frame(kEnd);
  }

  // The results of an assistant's calls come right behind it, in any number of messages up to that of the calls.
  void tool(const std::string& content) {
    int64_t caller = at_ - 1;
    while (caller >= 0 && text_member(messages_[size_t(caller)], "role") == "tool") caller--;
    const bool answers = caller >= 0 && text_member(messages_[size_t(caller)], "role") == "assistant";
    const int64_t calls = answers ? int64_t(member(messages_[size_t(caller)], "tool_calls").size()) : 0;
    require(at_ - caller <= calls, ErrorKind::kInput,
            "messages[{}]: expected as many results of tools as the assistant's message before them has calls ({})",
            at_, calls);
    if (at_ - caller == 1) out_.frame("\n\n<function_results>");
    out_.frame("\n<result>");
    out_.data(content, Origin::kUser);
    out_.frame("</result>");
    if (at_ - caller < calls) return;
    out_.frame("\n</function_results>");
    answer_begins("\n\n");
  }

  const OrderedJson messages_;
  const bool thinking_;
  const int64_t last_user_;
  int64_t at_ = 0;
  Prompt out_;
};

}  // namespace

MarkedText render_deepseek_v32(const ChatRequest& request) { return Renderer(request).run(); }

}  // namespace tenth
