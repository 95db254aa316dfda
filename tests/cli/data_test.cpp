// tenth data, as a user calls it.
#include <csignal>
#include <thread>

#include "cli/process.h"
#include "data/token_folder.h"
#include "tiny_run.h"
#include "tokenizer/tokenizer.h"

namespace tenth::testing {
namespace {

class DataCommand : public ::testing::Test {
 protected:
  DataCommand() {
    std::string lines;
    for (int i = 0; i < 200; i++)
      lines += Json{{"text", fmt::format("Document {} says: it's {} o'clock.\n", i % 190, i * 37 % 24)}}.dump() + "\n";
    lines += "{\"text\": \"\"}\n";
    write_file(folder_ / "a.jsonl", lines);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> prepare(const std::string& in, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"data", "prepare", file(in), "--out", file("out")};
    if (more.empty() || more[0] != "--vocab-size") more.insert(more.end(), {"--vocab-size", "280"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  TempFolder folder_;
};

TEST_F(DataCommand, PrepareInspectVerify) {
  const std::string said = expect_success(tenth(prepare("a.jsonl")));
  for (const char* part : {"tokenizer    280 tokens", "documents    200", "1 empty", "bytes/token", "shards       1"})
    EXPECT_NE(said.find(part), said.npos) << part << " in " << said;
  const std::string again = expect_success(tenth(prepare("a.jsonl")));
  EXPECT_NE(again.find("there already"), again.npos) << again;
  EXPECT_NE(again.find("1 shards were there already"), again.npos) << again;
  EXPECT_NE(expect_success(tenth({"data", "inspect", file("out")})).find("a.jsonl"), std::string::npos);
  EXPECT_NE(expect_success(tenth({"data", "verify", file("out")})).find("all as written"), std::string::npos);
  EXPECT_EQ(Tokenizer::load(folder_ / "out").vocab_size(), 280);
  // Another part of the data with the same tokenizer.
  write_file(folder_ / "val.txt", "It's nine.");
  expect_success(tenth({"data", "prepare", file("val.txt"), "--tokenizer", file("out"), "--out", file("val")}));
  EXPECT_EQ(TokenFolder(folder_ / "val").manifest().tokenizer, TokenFolder(folder_ / "out").manifest().tokenizer);
}

TEST_F(DataCommand, TokenizerAlone) {
  expect_success(tenth({"data", "tokenizer", file("a.jsonl"), "--vocab-size", "280", "--out", file("t")}));
  EXPECT_EQ(Tokenizer::load(folder_ / "t").vocab_size(), 280);
}

TEST_F(DataCommand, DamageIsFound) {
  expect_success(tenth(prepare("a.jsonl")));
  std::string bytes = read_file(folder_ / "out" / "tokens-00000.bin");
  bytes[bytes.size() - 3] ^= 1;
  write_file(folder_ / "out" / "tokens-00000.bin", bytes);
  expect_success(tenth({"data", "inspect", file("out")}));
  expect_refused(tenth({"data", "verify", file("out")}), "tokens-00000.bin: the token shard is damaged");
  expect_success(tenth(prepare("a.jsonl")));
  expect_success(tenth({"data", "verify", file("out")}));
  write_file(folder_ / "out" / "tokenizer.json", "{}");
  expect_refused(tenth({"data", "verify", file("out")}), "tokenizer.json: expected the tokenizer that made the tokens");
}

// The text of the error is the last line; progress may stand before it.
void expect_error(const Result& result, const std::string& text) {
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.signal, 0);
  EXPECT_NE(result.err.find("tenth: "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
}

TEST_F(DataCommand, BadInput) {
  write_file(folder_ / "bad.jsonl",
             "{\"text\": \"good good\"}\n{\"text\": 5}\n{\"text\": \"\xff\"}\n{\"text\": \"last\"}\n");
  expect_error(tenth(prepare("bad.jsonl")), "bad.jsonl:2: text: expected a string, got number");
  EXPECT_NE(expect_success(tenth(prepare("bad.jsonl", {"--skip-bad"}))).find("2 bad"), std::string::npos);
  write_file(folder_ / "long.jsonl", "{\"text\": \"" + std::string(65 << 20, 'x') + "\"}\n{\"text\": \"short\"}\n");
  expect_error(tenth(prepare("long.jsonl")), "long.jsonl:1: expected a line of at most 67108864 bytes");
  EXPECT_NE(expect_success(tenth(prepare("long.jsonl", {"--skip-bad"}))).find("1 bad"), std::string::npos);
  expect_error(tenth(prepare("none.jsonl")), "none.jsonl: cannot open: No such file");
  expect_error(tenth(prepare("a.jsonl", {"--tokenizer", file("out")})), "expected one of --vocab-size N");
  expect_error(tenth({"data", "inspect", file("")}), "expected a folder of token shards, got none");
  expect_refused(tenth(prepare("a.jsonl", {"--vocab-size", "100"})), "--vocab-size", 2);
  expect_refused(tenth({"data"}), "subcommand is required", 2);
}

// Killed at any time and called again: the same files.
TEST_F(DataCommand, GoesOnAfterAKill) {
  std::string lines;
  for (int i = 0; i < 20000; i++)
    lines += Json{{"text", fmt::format("{} is {}, {}!", i, i * 7919 % 1001, i ^ 5)}}.dump() + "\n";
  write_file(folder_ / "b.jsonl", lines);
  expect_success(tenth({"data", "prepare", file("b.jsonl"), "--out", file("whole"), "--vocab-size", "500"}));
  for (int i = 0; i < 8; i++) {
    Process process(prepare("b.jsonl", {"--vocab-size", "500"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(10 + 20 * i));
    process.send(SIGKILL);
    process.wait();
  }
  expect_success(tenth(prepare("b.jsonl", {"--vocab-size", "500"})));
  for (const char* name : {"tokenizer.json", "tokens-00000.bin", "manifest.json"})
    EXPECT_EQ(read_file(folder_ / "out" / name), read_file(folder_ / "whole" / name)) << name;
}

}  // namespace
}  // namespace tenth::testing
