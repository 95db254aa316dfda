#include "data/conversations.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "data/lines.h"
#include "tokenizer/field.h"

namespace tenth {
namespace {

EncodedChat encode_line(const std::string& line, const std::string& where, const Tokenizer& tokenizer) {
  require(well_formed_prefix(line) == line.size(), ErrorKind::kInput, "{}: expected UTF-8, got bytes that are not",
          where);
  const Json json = parse_json(line, where);
  const Field list = Field(json, where).at("messages");
  std::vector<Message> messages;
  for (size_t i = 0; i < list.size(); i++)
    messages.push_back({list.at(i).at("role").string(), list.at(i).at("content").string()});
  EncodedChat chat;
  try {
    chat = encode_conversation(tokenizer, messages);
  } catch (const Error& error) {
    throw Error(error.kind(), where + ": " + error.what());
  }
  require(std::count(chat.written.begin(), chat.written.end(), uint8_t(1)) > 0, ErrorKind::kInput,
          "{}: messages: expected a turn of the assistant, got none", where);
  return chat;
}

}  // namespace

Conversations read_conversations(const std::vector<Path>& files, const Tokenizer& tokenizer, size_t context,
                                 bool skip_bad) {
  require_chat_template(tokenizer);
  Conversations result;
  const auto take = [&](LineReader& lines, std::string& line) {
    const auto got = lines.next(line);
    if (got == LineReader::Next::kEnd) return false;
    const std::string where = fmt::format("{}:{}", lines.name(), lines.number());
    require(got == LineReader::Next::kLine, ErrorKind::kInput,
            "{}: expected a line of at most {} bytes, got a longer one", where, LineReader::kMaxLine);
    if (line.find_first_not_of(" \t\r") == line.npos) return true;
    EncodedChat chat = encode_line(line, where, tokenizer);
    if (chat.ids.size() > context)
      result.too_long++;
    else
      result.chats.push_back(std::move(chat));
    return true;
  };
  for (const Path& path : files) {
    LineReader lines(path);
    std::string line;
    for (bool more = true; more;) {
      try {
        more = take(lines, line);
      } catch (const Error& error) {
        if (!skip_bad || error.kind() != ErrorKind::kInput) throw;
        if (result.bad++ == 0) result.first_bad = error.what();
      }
    }
  }
  require(!result.chats.empty(), ErrorKind::kInput,
          "{}: expected conversations of at most {} tokens, got none ({} longer, {} broken)",
          files.empty() ? "conversations" : files[0].string(), context, result.too_long, result.bad);
  return result;
}

}  // namespace tenth
