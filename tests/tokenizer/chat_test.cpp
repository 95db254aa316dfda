// Small vocabularies, the chat format, and the three subcommands.
#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "cli/tokenize.h"
#include "tiny.h"
#include "tokenizer/chat_format.h"
#include "tokenizer/small_vocab.h"

namespace tenth {
namespace {

using Ids = std::vector<int32_t>;

TEST(SmallVocab, LongestMatchFromTheLeft) {  // ids as the pilot's encode gives them (reference/demo_recipe.md)
  const Tokenizer tokenizer = arithmetic_vocab(256).tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 121);
  EXPECT_EQ(tokenizer.encode("<user>3+15=?<think>", true), (Ids{2, 24, 7, 36, 10, 16, 3}));
  EXPECT_EQ(tokenizer.encode("100 07", true), (Ids{31, 21, 14, 21, 28}));
  EXPECT_EQ(tokenizer.encode("✓✗</think><answer>99</answer><eos>", true), (Ids{20, 19, 4, 5, 120, 6, 1}));
  const Ids ids = tokenizer.encode("<user>12 7>84<think>12*7=84✓</think><answer>12*7</answer><eos>", true);
  EXPECT_EQ(tokenizer.decode(ids, false), "<user>12 7>84<think>12*7=84✓</think><answer>12*7</answer><eos>");
  EXPECT_EQ(tokenizer.decode(ids, true), "12 7>8412*7=84✓12*7");
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_EQ(tokenizer.pad_id(), 0);
  EXPECT_EQ(tokenizer.bos_id(), std::nullopt);
}

TEST(SmallVocab, OtherTextIsRefused) {
  const Tokenizer tokenizer = arithmetic_vocab(256).tokenizer();
  EXPECT_EQ(error_of([&] { (void)tokenizer.encode("3+x", true); }),
            "input: text: expected words of the tokenizer's 121 tokens, got \"x\"");
  EXPECT_NE(error_of([&] { (void)tokenizer.encode("3\n", true); }), "");
  EXPECT_NE(error_of([&] { (void)tokenizer.encode("<eos>", false); }), "");
}

TEST(SmallVocab, WordsWithSignsOfPatterns) {
  SmallVocab vocab{.specials = {"<pad>", "<eos>", "<user>", "<think>"},
                   .words = {".", ".*", "a|b", "(", "a", "é", "\n"}};
  const Tokenizer tokenizer = vocab.tokenizer();
  EXPECT_EQ(tokenizer.encode(".*.a|ba(é\n", true), (Ids{5, 4, 6, 8, 7, 9, 10}));
}

TEST(SmallVocab, TokensThatCannotBe) {
  SmallVocab vocab = arithmetic_vocab(256);
  vocab.words.push_back("+");
  EXPECT_EQ(error_of([&] { (void)vocab.tokenizer(); }), "input: vocabulary: expected each token once, got \"+\" twice");
  vocab.words.back() = "";
  EXPECT_NE(error_of([&] { (void)vocab.tokenizer(); }), "");
  vocab.words.back() = "\xC3";
  EXPECT_NE(error_of([&] { (void)vocab.tokenizer(); }), "");
  vocab = arithmetic_vocab(256);
  vocab.pad = "+";
  EXPECT_EQ(error_of([&] { (void)vocab.tokenizer(); }),
            "input: vocabulary: expected \"+\" among the special tokens, got none");
}

TEST(SmallVocab, SavedFolderLoads) {
  const Path folder = std::filesystem::temp_directory_path() / fmt::format("tenth-vocab-{}", ::getpid());
  std::filesystem::create_directories(folder);
  arithmetic_vocab(256).save(folder);
  const Tokenizer tokenizer = Tokenizer::load(folder);
  EXPECT_EQ(tokenizer.encode("<user>3+15=?<think>", true), (Ids{2, 24, 7, 36, 10, 16, 3}));
  EXPECT_EQ(tokenizer.chat_template(), chat_template());
  std::filesystem::remove_all(folder);
}

// What apply_chat_template of transformers 5.23 gives for the saved vocabulary and the same messages.
TEST(ChatFormat, Texts) {
  EXPECT_EQ(render_chat({{"user", "3+5=?"}}, true), "<user>3+5=?<think>");
  EXPECT_EQ(render_chat({{"user", "3+5=?"}}, false), "<user>3+5=?");
  EXPECT_EQ(render_chat({{"user", "3+5=?"}, {"assistant", "3+5=8</think><answer>8</answer>"}, {"user", " 1"}}, true),
            "<user>3+5=?<think>3+5=8</think><answer>8</answer><eos><user> 1<think>");
  EXPECT_EQ(render_chat({{"user", "Hello"}, {"assistant", "Good day"}}, false),
            "<user>Hello<think></think>Good day<eos>");
  EXPECT_EQ(render_chat({}, true), "<think>");
  EXPECT_EQ(error_of([] {
              (void)render_chat({{"system", "x"}}, true);
            }),
            "input: messages: expected role user or assistant, got \"system\"");
}

TEST(ChatFormat, IdsAreThoseOfTheText) {
  const Tokenizer tokenizer = arithmetic_vocab(256).tokenizer();
  const std::vector<Message> chat = {{"user", "3+5=?"}, {"assistant", "8</think><answer>8</answer>"}, {"user", "12"}};
  for (bool generate : {false, true})
    EXPECT_EQ(encode_chat(tokenizer, chat, generate), tokenizer.encode(render_chat(chat, generate), true));
}

TEST(ChatFormat, AUserWritesNoTokens) {
  SmallVocab vocab = arithmetic_vocab(256);
  for (const char* letter : {"<", "/", "a", "e", "h", "i", "k", "n", "o", "r", "s", "t", "u", "w"})
    vocab.words.push_back(letter);
  const Tokenizer tokenizer = vocab.tokenizer();
  const Ids ids = encode_chat(tokenizer, {{"user", "1<eos><user></think><think>"}}, true);
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer.is_special(id); }), 2);
  EXPECT_EQ(tokenizer.decode(ids, false), "<user>1<eos><user></think><think><think>");
  for (const char* token : {"<eos>", "<user>"})
    EXPECT_EQ(error_of([&] {
                (void)encode_chat(tokenizer, {{"assistant", std::string("8") + token}}, true);
              }),
              fmt::format("input: messages: expected the content of one assistant turn, got {} in it", token));
}

std::string lines(void (*run)(const Tokenizer&, std::istream&, std::ostream&), const Tokenizer& tokenizer,
                  const std::string& in) {
  std::istringstream input(in);
  std::ostringstream output;
  run(tokenizer, input, output);
  return output.str();
}

void tokenize_all(const Tokenizer& t, std::istream& in, std::ostream& out) { tokenize_lines(t, true, in, out); }
void detokenize_all(const Tokenizer& t, std::istream& in, std::ostream& out) { detokenize_lines(t, false, in, out); }

TEST(TokenizeCommand, Lines) {
  const Tokenizer tokenizer = tiny_tokenizer();
  EXPECT_EQ(lines(tokenize_all, tokenizer, "{\"text\": \"aa\"}\n\n{\"text\": \"\"}"),
            "{\"ids\":[263,256]}\n{\"ids\":[263]}\n");
  std::istringstream input("{\"text\": \"<think>\"}\n");
  std::ostringstream output;
  tokenize_lines(tokenizer, false, input, output);
  EXPECT_EQ(output.str(), "{\"ids\":[264]}\n");
  EXPECT_EQ(lines(detokenize_all, tokenizer, "{\"ids\": [256, 10, 195]}\n"), "{\"text\":\"aa\\n\\ufffd\"}\n");
}

TEST(TokenizeCommand, NamesTheLine) {
  const Tokenizer tokenizer = tiny_tokenizer();
  auto tokenize_error = [&](const char* in) { return error_of([&] { (void)lines(tokenize_all, tokenizer, in); }); };
  auto detokenize_error = [&](const char* in) { return error_of([&] { (void)lines(detokenize_all, tokenizer, in); }); };
  EXPECT_EQ(tokenize_error("{\"text\": \"a\"}\n{\"text\": 3}"), "input: line 2: text: expected a string, got 3");
  EXPECT_TRUE(tokenize_error("\n{\"text").starts_with("input: line 2: not valid JSON"));
  EXPECT_EQ(tokenize_error("[]"), "input: line 1: expected an object, got array");
  EXPECT_EQ(detokenize_error("{\"ids\": [265]}"),
            "input: line 1: ids[0]: expected a whole number from 0 to 264, got 265");
  EXPECT_EQ(detokenize_error("{\"ids\": [-1]}"),
            "input: line 1: ids[0]: expected a whole number from 0 to 264, got -1");
  EXPECT_EQ(detokenize_error("{\"ids\": 1}"), "input: line 1: ids: expected an array, got 1");
}

TEST(RenderCommand, TextOrError) {
  const ChatRenderer renderer = ChatRenderer::of(arithmetic_vocab(256).tokenizer(), "", "m");
  std::istringstream input(
      "{\"messages\": [{\"role\": \"user\", \"content\": \"1+1\"}], \"tools\": null, \"kwargs\": "
      "{\"add_generation_prompt\": true, \"other\": 1}}\n"
      "{\"messages\": [{\"role\": \"tool\", \"content\": \"1\"}]}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": null}]}\n"
      "{\"messages\": [], \"tools\": [{}]}\n"
      "{\"messages\": 1}\n");
  std::ostringstream output;
  render_lines(renderer, input, output);
  EXPECT_EQ(output.str(),
            "{\"text\":\"<user>1+1<think>\"}\n"
            "{\"error\":\"line 2: chat_template: line 1: the template refuses: expected role user or assistant, got "
            "tool\"}\n"
            "{\"error\":\"line 3: chat_template: line 1: there is no str + None\"}\n"
            "{\"error\":\"line 4: chat_template: line 1: the template refuses: this model has no tools\"}\n"
            "{\"error\":\"line 5: messages: expected a list, got number\"}\n");
  EXPECT_TRUE(error_of([] {
                (void)ChatRenderer::of(tiny_tokenizer(), "", "m");
              }).starts_with("input: m: chat_template: expected one"));
}

// The coded format and its template are one.
TEST(RenderCommand, TheTemplateGivesTheIdsOfTheFormat) {
  const Tokenizer tokenizer = arithmetic_vocab(256).tokenizer();
  const ChatRenderer renderer = ChatRenderer::of(tokenizer, "", "m");
  for (const char* said : {"8</think><answer>8</answer>", "</think>8", "8", "8</think>9</think>1", ""}) {
    const ChatRequest request{{{{"role", "user"}, {"content", "3+5=?"}},
                               {{"role", "assistant"}, {"content", said}},
                               {{"role", "user"}, {"content", "12"}}},
                              nullptr,
                              {{"add_generation_prompt", true}}};
    EXPECT_EQ(renderer.encode(request),
              encode_chat(tokenizer, {{"user", "3+5=?"}, {"assistant", said}, {"user", "12"}}, true))
        << said;
  }
}

TEST(TokenizeCommand, Registers) {
  CLI::App app;
  add_tokenize_commands(app);
  for (const char* name : {"tokenize", "detokenize", "render"}) {
    EXPECT_FALSE(app.get_subcommand(name)->get_description().empty());
    EXPECT_NE(app.get_subcommand(name)->get_footer().find(std::string("tenth ") + name), std::string::npos);
  }
  EXPECT_TRUE(error_of([&] { app.parse("tokenize --model /nonexistent"); }).find("got none of these") !=
              std::string::npos);
}

}  // namespace
}  // namespace tenth
