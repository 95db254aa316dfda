// DeepSeek V4 (encoding_dsv4.py of its release). As V3.2, but: results of tools are part of the next user's turn, in
// the order of the calls, and neighbouring turns of users and tools are one; the answer's beginning stands before the
// assistant's message (or at the end), not behind the user's.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "chat/coded_formats.h"
#include "chat/dsml.h"

namespace tenth {
namespace {

constexpr const char* kMaxEffort =
    "Reasoning Effort: Absolute maximum with no shortcuts permitted.\n"
    "You MUST be very thorough in your thinking and comprehensively decompose the problem to resolve the root cause, "
    "rigorously stress-testing your logic against all potential paths, edge cases, and adversarial scenarios.\n"
    "Explicitly write out your entire deliberation process, documenting every intermediate step, considered "
    "alternative, and rejected hypothesis to ensure absolutely no assumption is left unchecked.\n\n";

constexpr const char* kToolsHead = R"(

## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<｜DSML｜tool_calls>" block like the following:

<｜DSML｜tool_calls>
<｜DSML｜invoke name="$TOOL_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$TOOL_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside <think>...</think> BEFORE any tool calls or final response.

Otherwise, output directly after </think> with tool calls or final response.

### Available Tool Schemas

)";
constexpr const char* kToolsTail =
    "\n\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n";

constexpr const char* kReminder = "<｜latest_reminder｜>";
constexpr const char* kTasks[] = {"action", "query", "authority", "domain", "title", "read_url"};

struct Block {
  std::string text;
  bool is_result;
  std::string call_id;
};

// A message, or several of users and tools made one.
struct Turn {
  std::string role;
  const OrderedJson* message;  // the first one
  std::vector<Block> blocks;   // of a user's turn
  std::string task;
};

// Results stand in the order of the calls that they answer; what lies between them stays.
void sort_results(std::vector<Block>& blocks, const std::map<std::string, size_t>& order) {
  std::vector<size_t> places;
  std::vector<Block> results;
  for (size_t i = 0; i < blocks.size(); i++) {
    if (!blocks[i].is_result) continue;
    places.push_back(i);
    results.push_back(blocks[i]);
  }
  auto place = [&](const Block& block) {
    const auto it = order.find(block.call_id);
    return it == order.end() ? 0 : it->second;
  };
  std::stable_sort(results.begin(), results.end(), [&](const Block& a, const Block& b) { return place(a) < place(b); });
  for (size_t i = 0; i < places.size(); i++) blocks[places[i]] = results[i];
}

std::map<std::string, size_t> call_order(const OrderedJson& message) {
  std::map<std::string, size_t> order;
  const OrderedJson& calls = member(message, "tool_calls");
  for (size_t i = 0; i < calls.size(); i++)
    if (const std::string id = text_member(calls[i], "id"); !id.empty()) order.emplace(id, i);
  return order;
}

std::vector<Turn> turns_of(const OrderedJson& messages) {
  std::vector<Turn> turns;
  for (const OrderedJson& message : messages) {
    std::string role = text_member(message, "role");
    const bool is_result = role == "tool";
    if (!is_result && role != "user") {
      turns.push_back({role, &message, {}, text_member(message, "task")});
      continue;
    }
    const bool joins = !turns.empty() && turns.back().role == "user" && (is_result || turns.back().task.empty());
    if (!joins) turns.push_back({"user", &message, {}, is_result ? "" : text_member(message, "task")});
    turns.back().blocks.push_back({content_text(member(message, "content"), is_result ? "\n\n" : ""), is_result,
                                   text_member(message, "tool_call_id")});
  }
  std::map<std::string, size_t> order;
  for (Turn& turn : turns) {
    if (turn.role == "assistant" && member(*turn.message, "tool_calls").is_array()) order = call_order(*turn.message);
    if (turn.role == "user" && !order.empty()) sort_results(turn.blocks, order);
  }
  return turns;
}

class Renderer {
 public:
  explicit Renderer(const ChatRequest& request)
      : messages_(messages_with_tools(request)), thinking_(thinks(request)), turns_(turns_of(messages_)) {
    const bool tools = std::any_of(messages_.begin(), messages_.end(), [](const OrderedJson& message) {
      const OrderedJson& list = member(message, "tools");
      return !list.is_null() && !list.empty();
    });
    drops_ = flag(request, "drop_thinking", true) && !tools;
    max_effort_ = thinking_ && member(request.kwargs, "reasoning_effort") == "max";
    find_last_user();
    if (thinking_ && drops_) drop_early();
  }

  MarkedText run() {
    out_.frame(kBegin);
    if (max_effort_ && !turns_.empty()) out_.frame(kMaxEffort);
    for (at_ = 0; at_ < turns_.size(); at_++) {
      turn(turns_[at_]);
      const bool answered =
          at_ + 1 == turns_.size() || turns_[at_ + 1].role == "assistant" || turns_[at_ + 1].role == "latest_reminder";
      if (answered) transition(turns_[at_]);
    }
    return out_.take();
  }

 private:
  void find_last_user() {
    last_user_ = -1;
    for (size_t i = 0; i < turns_.size(); i++)
      if (turns_[i].role == "user" || turns_[i].role == "developer") last_user_ = int64_t(i);
  }

  // What a developer said before the last user's turn goes with the thoughts.
  void drop_early() {
    std::vector<Turn> kept;
    for (size_t i = 0; i < turns_.size(); i++)
      if (int64_t(i) >= last_user_ || turns_[i].role != "developer") kept.push_back(std::move(turns_[i]));
    turns_ = std::move(kept);
    find_last_user();
  }

  void turn(const Turn& turn) {
    const OrderedJson& message = *turn.message;
    const std::string content = turn.role == "user" ? "" : content_text(member(message, "content"), "");
    if (turn.role == "system") {
      out_.data(content, Origin::kUser);
      additions(message);
    } else if (turn.role == "developer") {
      require(!content.empty(), ErrorKind::kInput, "messages: a developer's content: expected a text, got none");
      out_.frame(kUserTurn);
      out_.data(content, Origin::kUser);
      additions(message);
    } else if (turn.role == "user") {
      user(turn.blocks);
    } else if (turn.role == "latest_reminder") {
      out_.frame(kReminder);
      out_.data(content, Origin::kUser);
    } else if (turn.role == "assistant") {
      assistant(message, content);
    } else {
      fail(ErrorKind::kInput,
           "messages: role: expected system, developer, user, assistant, tool or latest_reminder, got \"{}\"",
           turn.role);
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

  void user(const std::vector<Block>& blocks) {
    out_.frame(kUserTurn);
    for (size_t i = 0; i < blocks.size(); i++) {
      if (i) out_.frame("\n\n");
      if (blocks[i].is_result) out_.frame("<tool_result>");
      out_.data(blocks[i].text, Origin::kUser);
      if (blocks[i].is_result) out_.frame("</tool_result>");
    }
  }

  void assistant(const OrderedJson& message, const std::string& content) {
    const bool behind_task = at_ > 0 && !turns_[at_ - 1].task.empty();
    if (thinking_ && !behind_task && (!drops_ || int64_t(at_) > last_user_)) {
      out_.data(text_member(message, "reasoning_content"), Origin::kModel);
      out_.frame(kEndThink);
    }
    out_.data(content, Origin::kModel);
    out_.tool_calls(message, "tool_calls");
    if (member(message, "wo_eos") != true) out_.frame(kEnd);
  }

  void transition(const Turn& turn) {
    if (!turn.task.empty()) {
      require(std::find(std::begin(kTasks), std::end(kTasks), turn.task) != std::end(kTasks), ErrorKind::kInput,
              "messages: task: expected action, query, authority, domain, title or read_url, got \"{}\"", turn.task);
      if (turn.task == "action") begin_answer(thinking_);
      out_.frame("<｜" + turn.task + "｜>");
    } else if (turn.role == "user" || turn.role == "developer") {
      begin_answer(thinking_ && (!drops_ || int64_t(at_) >= last_user_));
    }
  }

  void begin_answer(bool with_thought) {
    out_.frame(kAssistantTurn);
    out_.frame(with_thought ? kThink : kEndThink);
  }

  const OrderedJson messages_;
  const bool thinking_;
  std::vector<Turn> turns_;
  bool drops_ = true, max_effort_ = false;
  int64_t last_user_ = -1;
  size_t at_ = 0;
  Prompt out_;
};

}  // namespace

MarkedText render_deepseek_v4(const ChatRequest& request) { return Renderer(request).run(); }

const char* const kCodedFormatTokens =
    "<｜begin▁of▁sentence｜><｜end▁of▁sentence｜><｜User｜><｜Assistant｜><think></think>｜DSML｜<｜latest_reminder｜>"
    "<｜action｜><｜query｜><｜authority｜><｜domain｜><｜title｜><｜read_url｜>";

}  // namespace tenth
