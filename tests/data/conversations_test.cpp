#include "data/conversations.h"

#include "data_util.h"
#include "tokenizer/small_vocab.h"

namespace tenth::testing {
namespace {

class ConversationFiles : public DataTest {
 protected:
  static std::string line(const std::vector<std::pair<std::string, std::string>>& turns) {
    Json messages = Json::array();
    for (const auto& [role, content] : turns) messages.push_back({{"role", role}, {"content", content}});
    return Json{{"messages", messages}}.dump() + "\n";
  }
  Conversations read(const std::string& lines, size_t context = 64, bool skip_bad = false) const {
    return read_conversations({put("chats.jsonl", lines)}, tokenizer_, context, skip_bad);
  }
  const Tokenizer tokenizer_ = arithmetic_vocab(64).tokenizer();
};

TEST_F(ConversationFiles, OnlyWhatTheAssistantWroteIsLearnt) {
  const auto chats =
      read(line({{"user", "1+2"}, {"assistant", "3"}, {"user", "4"}, {"assistant", "5</think>6"}})).chats;
  ASSERT_EQ(chats.size(), 1u);
  std::string written;
  for (size_t i = 0; i < chats[0].ids.size(); i++)
    written += chats[0].written[i] ? tokenizer_.token_text(chats[0].ids[i]) : "_";
  //                 <user> 1 + 2 <think>             <user> 4 <think>
  EXPECT_EQ(written, "_____</think>3<eos>___5</think>6<eos>");
  EXPECT_EQ(chats[0].ids,
            encode_chat(tokenizer_, {{"user", "1+2"}, {"assistant", "3"}, {"user", "4"}, {"assistant", "5</think>6"}},
                        false));
}

TEST_F(ConversationFiles, LongOnesAreLeftOut) {
  const std::string short_one = line({{"user", "1"}, {"assistant", "2"}});
  const auto result = read(short_one + line({{"user", "1+1+1+1"}, {"assistant", "4"}}), 6);
  EXPECT_EQ(result.chats.size(), 1u);
  EXPECT_EQ(result.too_long, 1);
  expect_in("expected conversations of at most 5 tokens, got none (1 longer, 0 broken)",
            error_text([&] { read(short_one, 5); }));
}

TEST_F(ConversationFiles, BadLines) {
  const std::string good = line({{"user", "1"}, {"assistant", "2"}});
  const auto bad = [&](const std::string& lines, const std::string& error) {
    expect_in("chats.jsonl:2: ", error_text([&] { read(good + lines); }));
    expect_in(error, error_text([&] { read(good + lines); }));
    const auto result = read(good + lines + "\n" + good, 64, true);
    EXPECT_EQ(result.chats.size(), 2u);
    EXPECT_EQ(result.bad, 1);
    expect_in(error, result.first_bad);
  };
  bad("{", "not valid JSON");
  bad("{\"messages\": 5}", "messages: expected an array, got 5");
  bad("{\"text\": \"x\"}", "messages: expected an array, got null");
  bad("{\"messages\": [{\"role\": \"user\"}]}", "messages[0]: content: expected a string, got null");
  bad(line({{"user", "1"}}), "expected a turn of the assistant, got none");
  bad(line({{"system", "1"}, {"assistant", "2"}}), "expected role user or assistant, got \"system\"");
  bad(line({{"user", "1"}, {"assistant", "2<eos>"}}), "got <eos> in it");
  bad(line({{"user", "snow"}, {"assistant", "2"}}), "expected words of the");
}

}  // namespace
}  // namespace tenth::testing
