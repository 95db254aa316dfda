// How families of models write calls of tools.
#pragma once
#include <string_view>

namespace tenth {

enum class ToolFormat {
  kNone,    // calls are text like any other
  kHermes,  // <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>: Qwen, Hermes, SmolLM
  kDeepSeekV3,  // <｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n```json\n{…}\n```<｜tool▁call▁end｜>: V3, R1
  kDeepSeekV31,  // <｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜>
  kDsmlV32,  // <｜DSML｜invoke name="…">…</｜DSML｜invoke> (coded_formats.h) within <｜DSML｜function_calls>
  kDsmlV4,   // within <｜DSML｜tool_calls>
};
inline bool is_dsml(ToolFormat format) { return format == ToolFormat::kDsmlV32 || format == ToolFormat::kDsmlV4; }

struct ToolMarks {
  std::string_view begin, end;            // of one call
  std::string_view begin_list, end_list;  // around all calls of an answer
  std::string_view between;               // two calls
  std::string_view tokens;                // what tokenizers have as tokens of their own, one behind the other
};
const ToolMarks& tool_marks(ToolFormat format);

// By the marks that stand in a chat template.
ToolFormat tool_format_of(std::string_view chat_template);

}  // namespace tenth
