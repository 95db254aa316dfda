// Conversations for supervised fine-tuning: lines of {"messages": [{"role", "content"}, …]} in the chat format of
// tokenizer/chat_format.h, where only what the assistant wrote is learnt.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"
#include "tokenizer/chat_format.h"

namespace tenth {

struct Conversations {
  std::vector<EncodedChat> chats;
  int64_t too_long = 0;   // left out: more than context tokens
  int64_t bad = 0;        // left out: broken (with skip_bad)
  std::string first_bad;  // what was wrong with the first of these
};

// Reads .jsonl or .jsonl.zst files; a conversation needs a turn of the assistant. Throws kInput with file, line and
// what was expected for one that is broken, or leaves it out with skip_bad; throws where none is left.
Conversations read_conversations(const std::vector<Path>& files, const Tokenizer& tokenizer, size_t context,
                                 bool skip_bad);

}  // namespace tenth
