#include "train/samples.h"

#include <gtest/gtest.h>

#include "tiny_run.h"

namespace tenth {
namespace {

using testing::TempFolder;

TEST(Samples, AResumedRunWritesItsOwnAgain) {
  TempFolder folder;
  put_samples(folder.path(), "train", 10, {{"a", "b"}});
  put_samples(folder.path(), "rl", 0, {{"3+4=?", "<answer>8", "7", false}, {"1+1=?", "2", "2", true}});
  put_samples(folder.path(), "rl", 20, {{"3+4=?", "seven"}});
  put_samples(folder.path(), "rl", 20, {{"3+4=?", "7"}});
  const std::string all =
      "{\"stage\":\"train\",\"step\":10,\"prompt\":\"a\",\"completion\":\"b\"}\n"
      "{\"stage\":\"rl\",\"step\":0,\"prompt\":\"3+4=?\",\"completion\":\"<answer>8\",\"expected\":\"7\",\"right\":"
      "false}\n"
      "{\"stage\":\"rl\",\"step\":0,\"prompt\":\"1+1=?\",\"completion\":\"2\",\"expected\":\"2\",\"right\":true}\n"
      "{\"stage\":\"rl\",\"step\":20,\"prompt\":\"3+4=?\",\"completion\":\"7\"}\n";
  EXPECT_EQ(read_file(folder / "samples.jsonl"), all);
  // Back to a stage before: what came after it goes too.
  put_samples(folder.path(), "train", 5, {{"x", "y"}});
  EXPECT_EQ(read_file(folder / "samples.jsonl"),
            "{\"stage\":\"train\",\"step\":5,\"prompt\":\"x\",\"completion\":\"y\"}\n");
}

TEST(Samples, BrokenLinesAndBytesDoNoHarm) {
  TempFolder folder;
  write_file(folder / "samples.jsonl", "{\"stage\":\"rl\",\"step\":1,\"prompt\":\"\",\"completion\":\"\"}\n{\"sta");
  put_samples(folder.path(), "rl", 2, {{"\xff", std::string(5000, 'x')}});
  const std::string text = read_file(folder / "samples.jsonl");
  EXPECT_EQ(text.find("{\"sta\n"), text.npos);
  EXPECT_NE(text.find("\"prompt\":\"\xEF\xBF\xBD\",\"completion\":\"" + std::string(4000, 'x') + "\"}"), text.npos);
}

}  // namespace
}  // namespace tenth
