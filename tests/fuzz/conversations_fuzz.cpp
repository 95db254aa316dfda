// libFuzzer: conversations as JSONL. Refused, or each is within the context, with ids of the vocabulary, and some of
// them written by the assistant; skip_bad leaves out what is broken.
#include <algorithm>

#include "data/conversations.h"
#include "fuzz.h"
#include "tokenizer/small_vocab.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static fuzz::MemoryFolder folder;
  static const Tokenizer tokenizer = arithmetic_vocab(64).tokenizer();
  constexpr size_t kContext = 32;
  const Path file = folder.put("a.jsonl", {reinterpret_cast<const char*>(data), size});
  for (const bool skip_bad : {false, true}) {
    try {
      const Conversations read = read_conversations({file}, tokenizer, kContext, skip_bad);
      fuzz::must(!read.chats.empty() && (read.bad > 0) == !read.first_bad.empty() && (skip_bad || !read.bad));
      for (const EncodedChat& chat : read.chats) {
        fuzz::must(chat.ids.size() <= kContext && chat.written.size() == chat.ids.size());
        for (const int32_t id : chat.ids) fuzz::must(id >= 0 && id < tokenizer.vocab_size());
        fuzz::must(std::count(chat.written.begin(), chat.written.end(), uint8_t(1)) > 0);
      }
    } catch (const Error& error) {
      fuzz::must_blame_input(error);
    }
  }
  return 0;
}
