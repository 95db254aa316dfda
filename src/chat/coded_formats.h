// The prompt formats of DeepSeek V3.2 and V4, which are released as code and not as a template. Tool calls are DSML:
//   <｜DSML｜invoke name="f">
//   <｜DSML｜parameter name="k" string="true|false">value</｜DSML｜parameter>
//   </｜DSML｜invoke>
// with text as it is where string is true, and JSON where it is false.
#pragma once
#include "chat/chat_request.h"

namespace tenth {

// kwargs: thinking or enable_thinking (true where not given). A prompt that ends with a user's or a tool's message ends
// with the begin of the answer. Throws kInput for messages that have no place in the format.
MarkedText render_deepseek_v32(const ChatRequest& request);

// kwargs: likewise; reasoning_effort "max"; drop_thinking (true where not given): thoughts before the last user's
// message are left out, unless there are tools.
MarkedText render_deepseek_v4(const ChatRequest& request);

// All control tokens that these formats write.
extern const char* const kCodedFormatTokens;

}  // namespace tenth
