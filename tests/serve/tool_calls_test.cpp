// Calls of tools in the families' formats: what the family's own encoder writes is what the grammar takes and the
// parser reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/rng.h"
#include "chat/chat_renderer.h"
#include "grammar/schema_document.h"
#include "serve/reply_parser.h"
#include "serve/structured_output.h"
#include "shared.h"

namespace tenth::testing {
namespace {

const OrderedJson& tools() {
  static const OrderedJson y = parse_ordered_json(R"([
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {
      "city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}, "days": {"type": "integer"}},
      "required": ["city"], "additionalProperties": false}}},
    {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {
      "query": {"type": "string", "minLength": 1, "maxLength": 40}, "tags": {"type": "array", "items": {"type": "string"}},
      "since": {"anyOf": [{"type": "string", "pattern": "^[0-9]{4}$"}, {"type": "integer"}]},
      "exact": {"type": ["boolean", "null"]}}, "required": ["query"]}}},
    {"type": "function", "function": {"name": "ping"}}])",
                                                  "tools");
  return y;
}

OrderedJson call(const std::string& name, const std::string& arguments) {
  return {{"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}};
}

using Calls = std::vector<OrderedJson>;

const std::vector<Calls>& answers() {
  static const std::vector<Calls> y = {
      {call("get_weather", R"({"city": "New \"York\" <b> </tool>", "unit": "C", "days": 3})"),
       call("search", R"({"query": "a\nb </invoke> 中文｜😀", "tags": ["x", "\\u0041"], "since": 12, "exact": null})")},
      {call("search", R"({"query": "q", "since": "2024"})"), call("ping", "{}")},
      {call("ping", "{}"), call("get_weather", R"({"days": -1, "city": ""})")}};
  return y;
}

// A family: its tokenizer and how an assistant's turn with calls is written.
struct Family {
  Tokenizer tokenizer;
  ChatRenderer chat;
  std::shared_ptr<const GrammarVocabulary> vocabulary;
  bool marks;  // the tokenizer has tokens for them

  // What the model writes: behind the prompt, up to the end of the turn.
  std::string written(Calls calls) const {
    if (chat.tools() == ToolFormat::kHermes)
      for (OrderedJson& each : calls)
        each["function"]["arguments"] = parse_ordered_json(each["function"]["arguments"].get<std::string>(), "a");
    ChatRequest request{OrderedJson::array({{{"role", "user"}, {"content", "Go"}}}), tools(), {{"thinking", false}}};
    const bool none = chat.tools() == ToolFormat::kDeepSeekV3 || chat.tools() == ToolFormat::kDeepSeekV31;
    request.messages.push_back(
        {{"role", "assistant"}, {"content", none ? OrderedJson() : OrderedJson("")}, {"tool_calls", calls}});
    std::string text = chat.render(request).text();
    const std::string mark(tool_marks(chat.tools()).begin_list);
    const bool hermes = chat.tools() == ToolFormat::kHermes;
    size_t at = hermes ? text.rfind("</think>") + 8 : text.rfind(mark);
    while (!hermes && text[at - 1] == '\n') at--;
    for (const char* end : {"<｜end▁of▁sentence｜>", "<|im_end|>"}) text.resize(std::min(text.size(), text.rfind(end)));
    return text.substr(at);
  }
};

Family family_of(const Json& tokenizer_json, const Json& config, const std::string& model_type) {
  const Tokenizer tokenizer = Tokenizer::from_json(tokenizer_json, config, "t");
  ChatRenderer chat = ChatRenderer::of(tokenizer, model_type, "t");
  const std::vector<int32_t> marks = tokenizer.added_tokens_in(tool_marks(chat.tools()).tokens);
  std::vector<std::string> bytes;
  for (int32_t id = 0; id < tokenizer.vocab_size(); id++) bytes.push_back(tokenizer.token_bytes(id));
  const std::vector<int32_t> ends = {tokenizer.eos_id().value()};
  return {tokenizer, chat, std::make_shared<const GrammarVocabulary>(bytes, ends, marks), !marks.empty()};
}

const std::map<std::string, Family>& families() {
  static const std::map<std::string, Family> y = [] {
    std::map<std::string, Family> made;
    const auto json = [](const std::string& name, const char* file) {
      return read_json(shared_folder() / "data" / "tokenizers" / name / file);
    };
    Json tokenizer = json("deepseek_v3", "tokenizer.json"), config = json("deepseek_v3", "tokenizer_config.json");
    made.emplace("V3", family_of(tokenizer, config, ""));
    config["chat_template"] =
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{'<｜Assistant｜></think>'}}"
        "{{'<｜tool▁calls▁begin｜>'}}{% for tool in m['tool_calls'] %}{{'<｜tool▁call▁begin｜>' + "
        "tool['function']['name'] + '<｜tool▁sep｜>' + tool['function']['arguments'] + '<｜tool▁call▁end｜>'}}"
        "{% endfor %}{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{% endif %}{% endfor %}";
    made.emplace("V3.1", family_of(tokenizer, config, ""));
    config.erase("chat_template");
    made.emplace("V3.2", family_of(tokenizer, config, "deepseek_v32"));
    Json mark = tokenizer["added_tokens"].back();
    mark["id"] = mark["id"].get<int>() + 1;
    mark["content"] = "｜DSML｜";
    tokenizer["added_tokens"].push_back(mark);
    made.emplace("V4", family_of(tokenizer, config, "deepseek_v4"));
    made.emplace("Qwen", family_of(json("qwen3", "tokenizer.json"), json("qwen3", "tokenizer_config.json"), ""));
    return made;
  }();
  return y;
}

std::shared_ptr<GrammarMasks> masks_of(const Family& family, bool several = true) {
  static std::map<std::pair<const Family*, bool>, std::shared_ptr<GrammarMasks>> known;
  auto& y = known[{&family, several}];
  if (!y)
    y = std::make_shared<GrammarMasks>(calls_grammar(tools(), family.chat.tools(), several, *family.vocabulary),
                                       family.vocabulary);
  return y;
}

// How many tokens the grammar takes; one more where the text may end behind them.
size_t taken(const Family& family, const std::vector<int32_t>& ids, bool several = true) {
  GrammarMatcher matcher(masks_of(family, several));
  size_t n = 0;
  while (n < ids.size() && matcher.accept(ids[n])) n++;
  return n + (n == ids.size() && matcher.complete() ? 1 : 0);
}

bool takes(const Family& family, const std::string& text, bool several = true) {
  const std::vector<int32_t> ids = family.tokenizer.encode(text, true);
  return taken(family, ids, several) == ids.size() + 1;
}

std::vector<ReplyPart> parts_of(const std::string& text, ToolFormat format, Rng* cuts = nullptr) {
  ReplyParser parser({.split_reasoning = false, .tools = format});
  std::vector<ReplyPart> parts;
  const auto add = [&](std::vector<ReplyPart> more) { parts.insert(parts.end(), more.begin(), more.end()); };
  for (size_t at = 0; cuts && at < text.size();) {
    size_t n = 1 + cuts->below(20);
    while (at + n < text.size() && (text[at + n] & 0xC0) == 0x80) n++;
    add(parser.push(std::string_view(text).substr(at, n)));
    at += n;
  }
  if (!cuts) add(parser.push(text));
  add(parser.finish());
  return parts;
}

TEST(ToolCalls, TheGrammarTakesWhatTheEncoderWritesAndTheParserReadsIt) {
  TENTH_NEEDS_SHARED();
  const std::map<std::string, ToolFormat> formats = {{"V3", ToolFormat::kDeepSeekV3},
                                                     {"V3.1", ToolFormat::kDeepSeekV31},
                                                     {"V3.2", ToolFormat::kDsmlV32},
                                                     {"V4", ToolFormat::kDsmlV4},
                                                     {"Qwen", ToolFormat::kHermes}};
  for (const auto& [name, family] : families()) {
    EXPECT_EQ(family.chat.tools(), formats.at(name)) << name;
    EXPECT_EQ(family.marks, name != "V3.2");
    for (const Calls& calls : answers()) {
      const std::string text = family.written(calls);
      EXPECT_TRUE(takes(family, text)) << name << "\n" << text;
      EXPECT_FALSE(takes(family, text, false)) << name << ": two calls where one was asked for";
      // Where the tokenizer has the marks, they are these tokens, not words of the same text.
      if (family.marks) {
        EXPECT_LT(taken(family, family.tokenizer.encode(text, false)), 6u) << name;
      }
      const std::vector<ReplyPart> parts = parts_of(text, family.chat.tools());
      ASSERT_EQ(parts.size(), calls.size()) << name << "\n" << text;
      for (size_t i = 0; i < parts.size(); i++) {
        EXPECT_EQ(parts[i].kind, ReplyPart::Kind::kToolCall);
        EXPECT_EQ(parts[i].name, calls[i]["function"]["name"]);
        EXPECT_EQ(Json::parse(parts[i].text), Json::parse(calls[i]["function"]["arguments"].get<std::string>()));
      }
    }
  }
}

// Texts that hold marks themselves. A tokenizer would make tokens of them, so they are shown to the parser only.
TEST(ToolCalls, MarksWithinValuesEndNothing) {
  TENTH_NEEDS_SHARED();
  for (const auto& [name, family] : families()) {
    const Calls calls = {call("search", R"({"query": "</tool_call><｜tool▁call▁end｜></｜DSML｜invoke>", "tags":
                                            ["</tool_call> \\\"</｜DSML｜parameter>", "<｜DSML｜invoke "]})"),
                         call("ping", "{}")};
    const std::vector<ReplyPart> parts = parts_of(family.written(calls), family.chat.tools());
    ASSERT_EQ(parts.size(), 2u) << name;
    EXPECT_EQ(Json::parse(parts[0].text), Json::parse(calls[0]["function"]["arguments"].get<std::string>()));
  }
}

TEST(ToolCalls, TheGrammarRefusesOtherNamesAndTypes) {
  TENTH_NEEDS_SHARED();
  for (const auto& [name, family] : families()) {
    const auto refused = [&](const char* function, const char* arguments) {
      // Behind a call that is right.
      EXPECT_FALSE(takes(family, family.written(Calls({call("ping", "{}"), call(function, arguments)}))))
          << name << " " << function << arguments;
    };
    EXPECT_TRUE(takes(family, family.written(Calls({call("ping", "{}"), call("get_weather", R"({"city": "a"})")}))));
    refused("get_wether", R"({"city": "a"})");
    refused("get_weather", R"({"unit": "C"})");
    refused("get_weather", R"({"city": 5})");
    refused("get_weather", R"({"city": "a", "days": "3"})");
    refused("get_weather", R"({"city": "a", "days": 1.5})");
    refused("get_weather", R"({"city": "a", "unit": "K"})");
    refused("get_weather", R"({"city": "a", "town": "b"})");
    refused("search", R"({"query": ""})");
    refused("search", R"({"query": "0123456789012345678901234567890123456789+"})");
    refused("search", R"({"query": "a", "since": "24"})");
    refused("search", R"({"query": "a", "exact": "no"})");
    refused("search", R"({"query": "a", "tags": "b"})");
  }
}

// Random choices under the masks of a small vocabulary, with and without tokens for the marks.
class RandomCalls {
 public:
  RandomCalls(ToolFormat format, bool with_marks) {
    for (int byte = 0; byte < 256; byte++) texts_.emplace_back(1, char(byte));
    // What is required, whole: letters drawn one by one would not spell it.
    closing_ = {'"', '}', ']', '`'};
    const auto add = [&](const std::string& text) {
      closing_.push_back(int32_t(texts_.size()));
      texts_.push_back(text);
    };
    for (const std::string key : {"city", "query"})
      add(is_dsml(format) ? "name=\"" + key + "\" string=\"true\">a" : "\"" + key + "\":\"a\"");
    if (is_dsml(format))
      for (const char* text : {"</", "parameter>"}) add(text);
    if (is_dsml(format) && !with_marks) add("</｜DSML｜");
    for (const char* text : {"\"}", "\": ", "[]", "true", "null", "é", "｜"}) texts_.emplace_back(text);
    std::vector<int32_t> marks;
    for (const char* mark : {"<tool_call>", "</tool_call>", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>",
                             "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "｜DSML｜"}) {
      if (with_marks) marks.push_back(int32_t(texts_.size()));
      texts_.emplace_back(mark);
    }
    if (with_marks) closing_.push_back(marks.back());
    texts_.emplace_back("<end>");
    const std::vector<int32_t> ends = {end()};
    vocabulary_ = std::make_shared<const GrammarVocabulary>(texts_, ends, marks);
    masks_ = std::make_shared<GrammarMasks>(calls_grammar(tools(), format, true, *vocabulary_), vocabulary_);
  }

  // Behind `most` tokens it takes what may end things.
  std::string make(uint64_t seed, int most) const {
    GrammarMatcher matcher(masks_);
    Rng rng(seed);
    std::string text;
    std::vector<uint32_t> mask(vocabulary_->mask_words());
    const auto allowed = [&](int32_t id) { return mask[size_t(id) / 32] >> (id % 32) & 1; };
    for (int n = 0; n < most + 3000; n++) {
      if (!matcher.fill_mask(mask)) return "dead end behind " + text;
      if (n >= most && allowed(end())) return text;
      int32_t id = -1;
      for (int tries = 0; n >= most && tries < 30 && id < 0; tries++)
        if (const int32_t drawn = closing_[rng.below(closing_.size())]; allowed(drawn)) id = drawn;
      while (id < 0)
        if (const auto drawn = int32_t(rng.below(texts_.size())); allowed(drawn)) id = drawn;
      if (id == end()) return text;
      if (!matcher.accept(id)) return "refused an allowed token behind " + text;
      text += texts_[size_t(id)];
    }
    return "no end: " + text;
  }

 private:
  int32_t end() const { return int32_t(texts_.size() - 1); }
  std::vector<std::string> texts_;
  std::vector<int32_t> closing_;  // tokens that end things
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  std::shared_ptr<GrammarMasks> masks_;
};

constexpr ToolFormat kFormats[] = {ToolFormat::kHermes, ToolFormat::kDeepSeekV3, ToolFormat::kDeepSeekV31,
                                   ToolFormat::kDsmlV32, ToolFormat::kDsmlV4};

TEST(ToolCalls, WhateverIsDrawnUnderTheMaskIsCallsThatSatisfyTheirSchemas) {
  std::map<std::string, const OrderedJson*> functions;
  for (const OrderedJson& tool : tools()) functions[tool["function"]["name"]] = &tool["function"];
  const OrderedJson any = {{"type", "object"}};
  size_t unended = 0, read = 0;
  for (ToolFormat format : kFormats)
    for (bool marks : {false, true}) {
      const RandomCalls random(format, marks);
      for (uint64_t seed = 0; seed < 40; seed++) {
        const std::string text = random.make(seed, 150);
        if (text.starts_with("no end")) {
          unended++;
          continue;
        }
        const std::vector<ReplyPart> parts = parts_of(text, format);
        ASSERT_FALSE(parts.empty()) << text;
        for (const ReplyPart& part : parts) {
          ASSERT_EQ(part.kind, ReplyPart::Kind::kToolCall) << text << "\n: " << part.text;
          ASSERT_TRUE(functions.count(part.name)) << text;
          const OrderedJson& function = *functions[part.name];
          const OrderedJson& schema = function.contains("parameters") ? function["parameters"] : any;
          EXPECT_TRUE(SchemaDocument(schema, "s").satisfies(parse_ordered_json(part.text, "a"), schema)) << text;
          read++;
        }
      }
    }
  EXPECT_LE(unended, 10u);
  EXPECT_GT(read, 380u);
}

std::string shown(const std::vector<ReplyPart>& parts) {
  std::string y;
  for (const ReplyPart& part : parts)
    y += part.kind == ReplyPart::Kind::kToolCall ? "[" + part.name + part.text + "]" : part.text;
  return y;
}

// Damaged texts: no crash, the same however they are cut, and what is called a call has JSON arguments.
TEST(ToolCalls, DamagedTextsAreReadTheSameHoweverTheyAreCut) {
  size_t calls = 0, texts = 0;
  for (ToolFormat format : kFormats) {
    const RandomCalls random(format, false);
    Rng rng(7, uint64_t(format));
    const ToolMarks& marks = tool_marks(format);
    const std::string pieces[] = {std::string(marks.begin),
                                  std::string(marks.end),
                                  std::string(marks.end_list),
                                  "\"",
                                  "\\",
                                  "}",
                                  "<",
                                  "</｜DSML｜parameter>",
                                  "<｜DSML｜parameter name=\"a\" string=\"true\">",
                                  "\n",
                                  "｜",
                                  " Text",
                                  ">"};
    for (uint64_t seed = 0; seed < 100; seed++) {
      const std::string whole = random.make(seed, 60);
      for (int i = 0; i < 10; i++) {
        std::string text = whole;
        for (uint64_t edits = 1 + rng.below(4); edits > 0; edits--) {
          size_t at = rng.below(text.size() + 1), n = rng.below(8);
          const auto inside = [&](size_t p) { return p < text.size() && (text[p] & 0xC0) == 0x80; };
          while (inside(at)) at++;
          while (inside(at + n)) n++;
          text.replace(at, rng.chance(0.5) ? n : 0, rng.chance(0.7) ? pieces[rng.below(std::size(pieces))] : "");
        }
        const std::vector<ReplyPart> parts = parts_of(text, format);
        const std::string one = shown(parts), other = shown(parts_of(text, format, &rng));
        const size_t same =
            size_t(std::mismatch(one.begin(), one.end(), other.begin(), other.end()).first - one.begin());
        ASSERT_EQ(one, other) << "from " << one.substr(same, 100) << "\n or " << other.substr(same, 100);
        for (const ReplyPart& part : parts)
          if (part.kind == ReplyPart::Kind::kToolCall) {
            EXPECT_TRUE(!part.name.empty() && parse_ordered_json(part.text, "a").is_object()) << text;
            calls++;
          }
        texts++;
      }
    }
  }
  EXPECT_EQ(texts, 5000u);
  EXPECT_GT(calls, 2000u);
}

TEST(ToolCalls, WhatNeverEndsIsReadInBoundedTime) {
  for (ToolFormat format : kFormats) {
    std::string text;
    const std::string begin(tool_marks(format).begin), end(tool_marks(format).end);
    for (int i = 0; i < 20000; i++) text += begin + "x=\"\"><｜DSML｜parameter string=\"true\">\"" + end;
    size_t bytes = 0;
    for (const ReplyPart& part : parts_of(text, format)) bytes += part.text.size();
    EXPECT_GE(bytes, text.size() - 10);
  }
}

// As requests ask for it.
TEST(ToolCalls, ChosenAndParallel) {
  TENTH_NEEDS_SHARED();
  const Family& family = families().at("V4");
  GrammarStore store(family.vocabulary);
  const auto masks = [&](const std::string& fields) {
    OrderedJson body = parse_ordered_json(fields, "body");
    body["tools"] = tools();
    return read_required_calls(Fields(body), family.chat.tools(), store);
  };
  const auto takes = [&](const std::shared_ptr<GrammarMasks>& grammar, const Calls& calls) {
    GrammarMatcher matcher(grammar);
    for (int32_t id : family.tokenizer.encode(family.written(calls), true))
      if (!matcher.accept(id)) return false;
    return matcher.complete();
  };
  const OrderedJson ping = call("ping", "{}"), weather = call("get_weather", R"({"city": "a"})");
  EXPECT_EQ(masks(R"({"tool_choice": "auto"})"), nullptr);
  const auto any = masks(R"({"tool_choice": "required"})");
  EXPECT_TRUE(takes(any, {ping}) && takes(any, {ping, weather}));
  const auto one = masks(R"({"tool_choice": "required", "parallel_tool_calls": false})");
  EXPECT_TRUE(takes(one, {ping}));
  EXPECT_FALSE(takes(one, {ping, weather}));
  const auto named = masks(R"({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}})");
  EXPECT_TRUE(takes(named, {weather}));
  EXPECT_FALSE(takes(named, {ping}));
}

}  // namespace
}  // namespace tenth::testing
