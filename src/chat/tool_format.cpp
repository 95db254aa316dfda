#include "chat/tool_format.h"

namespace tenth {

const ToolMarks& tool_marks(ToolFormat format) {
  static constexpr std::string_view kCall = "<｜tool▁call▁begin｜>", kEndCall = "<｜tool▁call▁end｜>",
                                    kCalls = "<｜tool▁calls▁begin｜>", kEndCalls = "<｜tool▁calls▁end｜>",
                                    kTokens =
                                        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜><｜tool▁sep｜>"
                                        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
  static constexpr std::string_view kInvoke = "<｜DSML｜invoke ", kEndInvoke = "</｜DSML｜invoke>";
  static constexpr ToolMarks none, hermes{"<tool_call>", "</tool_call>", "", "", "\n", "<tool_call></tool_call>"},
      v3{kCall, kEndCall, kCalls, kEndCalls, "\n", kTokens}, v31{kCall, kEndCall, kCalls, kEndCalls, "", kTokens},
      v32{kInvoke, kEndInvoke, "<｜DSML｜function_calls>", "</｜DSML｜function_calls>", "\n", "｜DSML｜"},
      v4{kInvoke, kEndInvoke, "<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", "\n", "｜DSML｜"};
  switch (format) {
    case ToolFormat::kNone: break;
    case ToolFormat::kHermes: return hermes;
    case ToolFormat::kDeepSeekV3: return v3;
    case ToolFormat::kDeepSeekV31: return v31;
    case ToolFormat::kDsmlV32: return v32;
    case ToolFormat::kDsmlV4: return v4;
  }
  return none;
}

ToolFormat tool_format_of(std::string_view chat_template) {
  const auto has = [&](std::string_view mark) { return chat_template.find(mark) != chat_template.npos; };
  if (has("<｜tool▁call▁begin｜>")) return has("```json") ? ToolFormat::kDeepSeekV3 : ToolFormat::kDeepSeekV31;
  if (has("<｜DSML｜")) return has("<｜DSML｜tool_calls>") ? ToolFormat::kDsmlV4 : ToolFormat::kDsmlV32;
  return has("<tool_call>") ? ToolFormat::kHermes : ToolFormat::kNone;
}

}  // namespace tenth
